//! Where things are, found once.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command::Cmd;
use crate::toolchain::{self, Toolchain};

/// The workspace's folders, and the Wasm toolchain once it has been looked for.
pub(crate) struct Context {
    root: PathBuf,
    toolchain: OnceCell<Toolchain>,
    commit: OnceCell<String>,
}

impl Context {
    pub(crate) fn new() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().context("xtask has to be a folder of the workspace")?;
        Ok(Self { root: root.to_path_buf(), toolchain: OnceCell::new(), commit: OnceCell::new() })
    }

    /// The same commit and the same toolchain, in another folder.
    pub(crate) fn elsewhere(&self, root: &Path) -> Result<Self> {
        let (toolchain, commit) = (self.toolchain()?.clone(), self.commit().to_owned());
        Ok(Self { root: root.to_path_buf(), toolchain: toolchain.into(), commit: commit.into() })
    }

    /// The commit that is built, as each module's `holdfast_build_info` tells it.
    pub(crate) fn commit(&self) -> &str {
        self.commit.get_or_init(|| {
            let git = self.cmd("git", "git rev-parse").args(["rev-parse", "--short=8", "HEAD"]);
            let hash = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            git.capture().filter(hash).unwrap_or_else(|| "unknown".to_owned())
        })
    }

    /// The workspace's root folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Ours, whatever `CARGO_TARGET_DIR` says: paths printed and passed on stay the same everywhere.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Where the modules go; those that only tests load are in its folder `test`.
    pub(crate) fn modules(&self) -> PathBuf {
        self.target().join("modules")
    }

    /// The folder of an installed tool.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.target().join("tools").join(name)
    }

    /// A command that runs in the workspace's root and writes its output to `target/logs/`.
    pub(crate) fn cmd(&self, program: impl AsRef<Path>, label: impl Into<String>) -> Cmd {
        Cmd::new(program, label).dir(&self.root).logs(self.target().join("logs"))
    }

    /// The toolchain that compiles for `wasm32-unknown-unknown`, installed by the first call if it has to be.
    pub(crate) fn toolchain(&self) -> Result<&Toolchain> {
        if let Some(known) = self.toolchain.get() {
            return Ok(known);
        }
        let found = toolchain::find_or_install(self)?;
        Ok(self.toolchain.get_or_init(|| found))
    }
}

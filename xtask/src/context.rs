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
}

impl Context {
    pub(crate) fn new() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().context("xtask has to be a folder of the workspace")?;
        Ok(Self { root: root.to_path_buf(), toolchain: OnceCell::new() })
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

//! The lists within YAML files: between two comments that name the module.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::needed;
use crate::TestResult;

/// The files in `envoy-configs/` that hold lists.
pub const FILES: [&str; 2] = ["hardened.yaml", "hardened-1.36.yaml"];

/// What the comments say before and after the module's name.
const BEGIN: (&str, &str) = ("# --- what ", " needs (from `cargo xtask capabilities`)");
const END: &str = "# --- end of what ";

/// The entries of `allowed_capabilities`, one a line, with so many spaces before them.
pub fn yaml(names: &BTreeSet<String>, indent: usize) -> String {
    let margin = " ".repeat(indent);
    names.iter().flat_map(|name| [&margin, name.as_str(), ": {}\n"]).collect()
}

/// A file's text with each of its lists as the built modules in `modules` want it; everything else stays.
///
/// # Errors
/// When a module isn't built, or a list has no end.
pub fn regenerate(text: &str, modules: &Path) -> TestResult<String> {
    let (mut made, mut lines) = (String::new(), text.lines());
    while let Some(line) = lines.next() {
        push(&mut made, line);
        let Some(module) = begun(line) else { continue };
        made.push_str(&yaml(&needed(&modules.join(module))?, indent(line)));
        let end = lines.find(|line| line.trim_start().starts_with(END));
        let end = end.with_context(|| format!("the list of {module} has no end"))?;
        if end.trim_start() != format!("{END}{module} needs") {
            bail!("the list of {module} ends with {:?}", end.trim_start());
        }
        push(&mut made, end);
    }
    Ok(made)
}

/// Writes the lists of the built modules into [`FILES`].
///
/// # Errors
/// As [`regenerate`], or when a file can't be written.
pub fn bless(modules: &Path) -> TestResult {
    for name in FILES {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy-configs").join(name);
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        std::fs::write(&file, regenerate(&text, modules)?).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// The module whose list begins behind this line.
fn begun(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix(BEGIN.0)?.strip_suffix(BEGIN.1)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_list_stays_as_it_is() {
        let text = "a: b\n# --- what a comment says\n";
        assert_eq!(regenerate(text, Path::new("/nowhere")).unwrap(), text);
    }

    #[test]
    fn a_list_of_a_module_that_is_not_built_is_an_error() {
        let text = format!("  {}a.wasm{}\n  {END}a.wasm needs\n", BEGIN.0, BEGIN.1);
        assert!(regenerate(&text, Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere/a.wasm"));
    }

    #[test]
    fn entries_stand_one_a_line() {
        let names = ["proxy_log", "random_get"].map(str::to_owned).into();
        assert_eq!(yaml(&names, 2), "  proxy_log: {}\n  random_get: {}\n");
    }
}

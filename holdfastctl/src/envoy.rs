//! What Envoy itself says of a bootstrap: `envoy --mode validate`, where there is one.
//!
//! Files are written for another machine than the one that checks them, so what is missing here is no fault. Modules of ours have been judged by their own code, which knows
//! what their environment will be; Envoy is given one that does nothing in their place, and in the place of any other that isn't here. Where it stops because another file isn't here, that is a
//! note.

mod told;

use crate::check::Outcome;
use crate::codes;
use crate::document::{Node, Span};
use crate::file::File;
use crate::finding::Finding;
use crate::modules::of_code;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Envoy takes a tenth of a second.
const LIMIT: Duration = Duration::from_secs(30);
/// How often a running Envoy is looked at.
const POLL: Duration = Duration::from_millis(10);
/// The smallest module that Envoy runs: it speaks proxy-wasm 0.2.1, has memory, and makes no callback.
const NOTHING: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x09\x02\x60\0\0\x60\x01\x7f\x01\x7f\
    \x03\x03\x02\0\x01\
    \x05\x03\x01\0\x01\
    \x07\x2d\x03\x06memory\x02\0\x17proxy_abi_version_0_2_1\0\0\x06malloc\0\x01\
    \x0a\x0a\x02\x02\0\x0b\x05\0\x41\x80\x08\x0b";

/// Which Envoy to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// None.
    Nobody,
    /// The one on PATH, if there is one.
    OnPath,
    /// This one, which must be there.
    This(PathBuf),
}

/// Has Envoy judge every file that is a whole bootstrap.
pub(crate) fn judge(which: &Which, outcome: &mut Outcome) -> Result<(), String> {
    let (program, must) = match which {
        Which::Nobody => return Ok(()),
        Which::OnPath => match on_path("envoy") {
            Some(program) => (program, false),
            None => return Ok(()),
        },
        Which::This(program) => (program.clone(), true),
    };
    let bootstraps =
        outcome.files.iter().enumerate().filter_map(|(number, file)| Some((number, file, bootstrap(file)?)));
    let (mut findings, mut notes) = (Vec::new(), Vec::new());
    for (number, file, root) in bootstraps {
        match ask(&program, file, root) {
            Ok(Verdict::Good) => {}
            Ok(Verdict::Stopped(note)) => notes.push(format!("{}: {note}", file.name)),
            Ok(Verdict::Bad { span, why }) => {
                let asked = version(&program).unwrap_or_else(|| program.display().to_string());
                let allowed = format!("what Envoy takes (asked: {asked})");
                findings.push(Finding::new(&codes::ENVOY, number, &span, why, allowed));
            }
            Err(error) if must => return Err(error),
            Err(error) => notes.push(error),
        }
    }
    outcome.add(findings);
    outcome.notes.extend(notes);
    Ok(())
}

/// The first file of that name on PATH.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A file that Envoy may be started with, and nothing beside.
fn bootstrap(file: &File) -> Option<&Node> {
    let [root] = file.documents.as_slice() else { return None };
    let is = |names| root.either(names).is_some();
    let whole = is(["static_resources", "staticResources"]) || is(["dynamic_resources", "dynamicResources"]);
    (whole && root.get("kind").is_none()).then_some(root)
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Good,
    Bad {
        span: Span,
        why: String,
    },
    /// It couldn't go to the end, for a reason that is this machine's.
    Stopped(String),
}

fn ask(program: &Path, file: &File, root: &Node) -> Result<Verdict, String> {
    let refused = |error: std::io::Error| format!("{}: {error}", program.display());
    let folder = TempDir::with_prefix("holdfastctl-").map_err(refused)?;
    let nothing = folder.path().join("nothing.wasm");
    std::fs::write(&nothing, NOTHING).map_err(refused)?;
    // Of the same name: by its end Envoy knows JSON from YAML.
    let copy = folder.path().join(Path::new(&file.name).file_name().unwrap_or("envoy.yaml".as_ref()));
    std::fs::write(&copy, with_modules(file, root, &nothing)).map_err(refused)?;
    let mut envoy = Command::new(program);
    envoy.args(["--mode", "validate", "--log-level", "error", "--log-format", "%v"]);
    // What is often said on the command line, and must be said.
    envoy.args(["--service-node", "check", "--service-cluster", "check", "--config-path"]).arg(&copy);
    let Some((status, text)) = run(envoy, folder.path(), LIMIT).map_err(refused)? else {
        return Ok(Verdict::Stopped(format!("Envoy had nothing to say of it within {} s", LIMIT.as_secs())));
    };
    Ok(if status.success() { Verdict::Good } else { verdict(root, &text) })
}

fn verdict(root: &Node, text: &str) -> Verdict {
    let why = told::why(text);
    match absent(root, &why) {
        Some(path) => Verdict::Stopped(format!("Envoy read it as far as {path}, which isn't on this machine")),
        None => Verdict::Bad { span: told::place(root, &why), why },
    }
}

/// A file that Envoy speaks of, that the bootstrap names, and that isn't here.
fn absent<'a>(root: &'a Node, why: &str) -> Option<&'a str> {
    let paths = root.all(|node| node.text().is_some_and(|text| text.contains('/') && why.contains(text)));
    paths.into_iter().filter_map(Node::text).find(|path| !Path::new(path).exists())
}

/// The text, with a module that does nothing in the place of ours and of those that aren't here. All else stays where it is.
fn with_modules(file: &File, root: &Node, nothing: &Path) -> String {
    let name = serde_json::Value::from(nothing.display().to_string()).to_string();
    let mut spans: Vec<&Span> = modules(root).into_iter().map(|node| &node.span).collect();
    // An alias says a thing again, at the same place.
    spans.sort_by_key(|span| std::cmp::Reverse(span.start));
    spans.dedup();
    let mut text = file.text.clone();
    // From the end on: what comes before stays where it is.
    for span in spans {
        text.replace_range(file.bytes(span), &name);
    }
    text
}

fn modules(root: &Node) -> Vec<&Node> {
    let code = |vm: &'_ Node| vm.get("code").is_some();
    let files = root.all(code).into_iter().filter_map(|vm| vm.at("code/local/filename"));
    let replaced = |path: &str| of_code(path).is_some() || !Path::new(path).exists();
    files.filter(|file| file.text().is_some_and(replaced)).collect()
}

/// How it ended and what it said; nothing where it had to be ended. It writes to a file: a pipe that nobody empties would stop it.
fn run(mut command: Command, folder: &Path, limit: Duration) -> std::io::Result<Option<(ExitStatus, String)>> {
    let path = folder.join("said");
    let said = std::fs::File::create(&path)?;
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    let mut child = command.spawn()?;
    let mut left = limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let Some(rest) = left.checked_sub(POLL) else {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        };
        left = rest;
        std::thread::sleep(POLL);
    };
    let mut text = Vec::new();
    std::fs::File::open(path)?.read_to_end(&mut text)?;
    Ok(Some((status, String::from_utf8_lossy(&text).into_owned())))
}

/// `1.40.0`.
fn version(program: &Path) -> Option<String> {
    let folder = TempDir::with_prefix("holdfastctl-").ok()?;
    let mut command = Command::new(program);
    command.arg("--version");
    let (_, text) = run(command, folder.path(), LIMIT).ok()??;
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.into_iter().find(|word| word.split('.').filter(|part| !part.is_empty()).count() == 3).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File::new("envoy.yaml".to_owned(), text.to_owned()).0
    }

    #[test]
    fn a_bootstrap_is_what_envoy_starts_with() {
        let is = |text: &str| bootstrap(&file(text)).is_some();
        assert!(is("static_resources: {}\n"));
        assert!(is("{\"dynamicResources\": {}}"));
        assert!(!is("resources: []\n"), "an answer of xDS");
        assert!(!is("static_resources: {}\n---\nstatic_resources: {}\n"));
        assert!(!is("kind: ConfigMap\nstatic_resources: {}\n"));
    }

    #[test]
    fn modules_of_ours_and_those_that_are_not_here_do_nothing() {
        let here = std::env::current_exe().expect("a file that is here");
        let vm = |path: &str| format!("{{code: {{local: {{filename: {path}}}}}}}");
        let text = format!(
            "static_resources:\n  é: {}\n  a: &a {}\n  b: *a\n  c: {}\n",
            vm("'/etc/holdfast/metrics.wasm'"),
            vm("/nowhere/at-all.wasm"),
            vm(&here.display().to_string())
        );
        let file = file(&text);
        let root = bootstrap(&file).expect("a bootstrap");
        let changed = with_modules(&file, root, Path::new("/tmp/nothing.wasm"));
        let expected = text
            .replace("'/etc/holdfast/metrics.wasm'", "\"/tmp/nothing.wasm\"")
            .replace("/nowhere/at-all.wasm", "\"/tmp/nothing.wasm\"");
        assert_eq!(changed, expected);
    }

    #[test]
    fn what_is_missing_on_this_machine_is_no_fault() {
        let file = file("static_resources: {}\ncert: /etc/holdfast/no-such.crt\n");
        let root = bootstrap(&file).expect("a bootstrap");
        let stopped =
            verdict(root, "error initializing configuration '/tmp/x': Invalid path: /etc/holdfast/no-such.crt");
        assert!(matches!(stopped, Verdict::Stopped(note) if note.contains("no-such.crt")));
        let bad = verdict(root, "error initializing configuration '/tmp/x': route: unknown cluster 'x'");
        assert!(matches!(bad, Verdict::Bad { .. }));
    }

    #[test]
    fn an_envoy_that_says_nothing_is_ended() {
        let folder = TempDir::new().expect("a folder");
        let mut slow = Command::new("sleep");
        slow.arg("600");
        let ended = run(slow, folder.path(), Duration::from_millis(50)).expect("it starts");
        assert!(ended.is_none());
        let mut echo = Command::new("echo");
        echo.arg("envoy  version: 1d5e/1.40.0/Clean");
        let (status, text) = run(echo, folder.path(), LIMIT).expect("it starts").expect("it ends");
        assert!(status.success() && text.contains("1.40.0"));
    }
}

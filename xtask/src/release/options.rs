//! What `cargo xtask release` is asked for.

use anyhow::{Context as _, Result, bail, ensure};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Build all of it again in another folder, and compare.
    pub(super) verify: bool,
    /// Push nothing, and be content with files that aren't committed.
    pub(super) is_dry: bool,
    pub(super) push: Option<Push>,
}

/// Where to, under which tag, how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Push {
    /// What comes before a module's name: `registry.example.com/holdfast`.
    pub(super) to: String,
    /// The version, unless another is wanted (`0.1.0-rc.1`).
    pub(super) tag: Option<String>,
    pub(super) plain_http: bool,
}

// === impl Options ===

impl Options {
    pub(super) fn read(args: &[String]) -> Result<Self> {
        let (mut options, mut to, mut tag, mut plain_http) = (Self::default(), None, None, false);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().with_context(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--verify" => options.verify = true,
                "--dry-run" => options.is_dry = true,
                "--plain-http" => plain_http = true,
                "--push" => to = Some(value()?),
                "--tag" => tag = Some(value()?),
                other => bail!("don't know `{other}`: there are --verify, --dry-run, --push, --tag and --plain-http"),
            }
        }
        ensure!(to.is_some() || (tag.is_none() && !plain_http), "--tag and --plain-http are for --push");
        options.push = to.map(|to| Push { to, tag, plain_http });
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options> {
        Options::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_in_any_order() {
        assert_eq!(read("").unwrap(), Options::default());
        let push = Push { to: "127.0.0.1:5000/h".into(), tag: Some("0.1.0-rc.1".into()), plain_http: true };
        let all = Options { verify: true, is_dry: true, push: Some(push) };
        assert_eq!(read("--plain-http --verify --push 127.0.0.1:5000/h --dry-run --tag 0.1.0-rc.1").unwrap(), all);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["--push", "--tag 0.1.0", "--plain-http", "--verify=yes", "now"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}

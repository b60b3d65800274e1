//! Looks at files, and tells everything that is wrong with the plugins in them.

use crate::codes;
use crate::document::Unreadable;
use crate::entry::{Entry, Variable};
use crate::file::File;
use crate::find;
use crate::finding::Finding;
use crate::location::locate;
use crate::modules::Module;
use crate::rules;
use sdk_shim::config::{Fault, Faults};

/// What is looked at.
pub(crate) struct Context<'a> {
    pub(crate) files: &'a [File],
    pub(crate) entries: Vec<Entry<'a>>,
}

/// What a file is, where it doesn't say so itself: the configuration of a plugin alone.
#[derive(Clone, Copy)]
pub(crate) struct Bare {
    pub(crate) module: &'static Module,
    pub(crate) kong: bool,
}

/// What was found, file by file and from top to bottom, and how many plugins there are.
pub(crate) struct Outcome {
    pub(crate) files: Vec<File>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) plugins: usize,
    /// What couldn't be looked at, and why.
    pub(crate) notes: Vec<String>,
}

// === impl Outcome ===

impl Outcome {
    /// Puts more among what was found, each in its place.
    pub(crate) fn add(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
        // An alias says a thing again, and so do two rules of one list.
        self.findings.sort_by_key(|one| (one.file, one.span.start, one.code.id, one.path.clone(), one.found.clone()));
        self.findings.dedup();
    }
}

/// Looks at files together: a cluster in one may be named in another.
pub(crate) fn check(texts: Vec<(String, String)>, bare: Option<Bare>) -> Outcome {
    let (files, mut findings) = read(texts);
    let mut entries: Vec<Entry<'_>> = files.iter().enumerate().flat_map(|(n, file)| entries(n, file, bare)).collect();
    entries.iter_mut().filter(|entry| entry.kong).for_each(|entry| entry.environment = kong_environment(&files, entry));
    let plugins = entries.len();
    let context = Context { files: &files, entries };
    context.entries.iter().for_each(|entry| judge(entry, &mut findings));
    if plugins > 0 {
        rules::apply(&context, &mut findings);
    }
    let mut outcome = Outcome { files, findings: Vec::new(), plugins, notes: Vec::new() };
    outcome.add(findings);
    outcome
}

fn read(texts: Vec<(String, String)>) -> (Vec<File>, Vec<Finding>) {
    let (mut files, mut findings) = (Vec::new(), Vec::new());
    for (number, (name, text)) in texts.into_iter().enumerate() {
        if std::path::Path::new(&name).extension().is_some_and(|end| end == "conf") {
            files.push(File::settings(name, text));
            continue;
        }
        let (file, unreadable) = File::new(name, text);
        findings.extend(unreadable.map(|Unreadable { at, why }| {
            Finding::new(&codes::UNREADABLE, number, &(at..at + 1), why, "YAML or JSON")
        }));
        files.push(file);
    }
    (files, findings)
}

fn entries(number: usize, file: &File, bare: Option<Bare>) -> Vec<Entry<'_>> {
    match bare {
        Some(Bare { module, kong }) => find::bare(number, file, module, kong).into_iter().collect(),
        None => find::entries(number, file),
    }
}

/// What Kong's workers have of their master's environment: what `kong.conf` names, or, where that file isn't here, whatever is asked for.
fn kong_environment(files: &[File], entry: &Entry<'_>) -> Vec<Variable> {
    let variable = |name: &str| Variable { name: name.to_owned(), value: None };
    if let Some(settings) = files.iter().find(|file| file.has_settings) {
        let said = settings.setting("nginx_main_env").map(|(value, _)| value).unwrap_or_default();
        let names = said.split([';', ' ']).map(|name| name.split('=').next().unwrap_or(name));
        return names.filter(|name| !name.is_empty() && *name != "env").map(variable).collect();
    }
    let secrets = entry.config.node.as_ref().map(|root| root.all(|node| node.get("env").is_some())).unwrap_or_default();
    secrets.into_iter().filter_map(|secret| secret.get("env")?.text()).map(variable).collect()
}

/// Asks the plugin itself.
fn judge(entry: &Entry<'_>, findings: &mut Vec<Finding>) {
    let faults = (entry.module.configure)(&entry.host(), entry.config.text.as_bytes()).err();
    for fault in faults.as_ref().map(Faults::iter).into_iter().flatten() {
        let span = place(entry, fault);
        let found = Finding::new(&codes::CONFIGURATION, entry.file, &span, &fault.found, &fault.allowed);
        findings.push(Finding { path: Some(fault.path.clone()), ..found });
    }
}

fn place(entry: &Entry<'_>, fault: &Fault) -> crate::document::Span {
    if let Some(at) = place_in_text(&fault.found, &entry.config.text).and_then(|at| entry.config.places.get(at)) {
        return *at..at + 1;
    }
    match &entry.config.node {
        Some(root) => locate(root, &fault.path, fault.found == "an unknown field"),
        None => entry.config.span.clone(),
    }
}

/// JSON that can't be read says where that is: `... at line 1 column 17)`.
fn place_in_text(found: &str, text: &str) -> Option<usize> {
    let (_, place) = found.strip_prefix("no clean JSON (")?.rsplit_once(" at line ")?;
    let (line, column) = place.strip_suffix(')')?.split_once(" column ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(|line| line.chars().count()).sum();
    // What ends too early is told at its end.
    Some((before + column.checked_sub(1)?).min(text.chars().count().checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILES: [(&str, &str); 4] = [
        ("redis.yaml", include_str!("../../envoy-configs/idempotency-redis.yaml")),
        ("plugin.yaml", include_str!("../../envoy-configs/idempotency-redis-plugin.yaml")),
        ("kong.yml", include_str!("../../kong-configs/kong.yml")),
        ("kong.conf", include_str!("../../kong-configs/kong.conf")),
    ];

    /// A file with a piece cut out, or put in, anywhere.
    fn damaged(text: &str, at: usize, length: usize, piece: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let at = at % chars.len();
        let end = (at + length).min(chars.len());
        chars[..at].iter().copied().chain(piece.chars()).chain(chars[end..].iter().copied()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_is_in_a_file_every_finding_has_a_place_in_it(
            which in 0..FILES.len(),
            at in any::<usize>(),
            length in 0_usize..40,
            piece in "[ -~§é\t\n]{0,6}",
        ) {
            let mut texts: Vec<_> = FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            texts[which].1 = damaged(&texts[which].1, at, length, &piece);
            let outcome = check(texts, None);
            for finding in &outcome.findings {
                let file = &outcome.files[finding.file];
                prop_assert!(finding.span.start <= file.chars.len(), "{finding:?}");
            }
            let told = crate::report::for_people(&outcome, false);
            prop_assert!(told.contains("plugin"));
            crate::report::for_programs(&outcome);
        }
    }
}

//! What was found, for people and for programs.

use crate::check::Outcome;
use crate::codes::Severity;
use crate::finding::Finding;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How many of a kind.
pub(crate) fn count(outcome: &Outcome, severity: Severity) -> usize {
    outcome.findings.iter().filter(|finding| finding.code.severity == severity).count()
}

/// Each finding in its file, as rustc shows its own, and a sentence at the end.
pub(crate) fn for_people(outcome: &Outcome, colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for finding in &outcome.findings {
        let _ = writeln!(text, "{}\n", renderer.render(&[group(outcome, finding)]));
    }
    for note in &outcome.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text + &sentence(outcome)
}

fn group<'a>(outcome: &'a Outcome, finding: &'a Finding) -> Group<'a> {
    let level = match finding.code.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(finding.code.title).id(finding.code.id);
    let path = finding.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
    let label = format!("{path}found {}", finding.found);
    let allowed = Level::HELP.message(format!("allowed: {}", finding.allowed));
    match outcome.files.get(finding.file) {
        Some(file) => {
            let span = file.bytes(&file.first_line(&finding.span));
            let mark = AnnotationKind::Primary.span(span).label(label);
            title.element(Snippet::source(&file.text).path(&file.name).annotation(mark)).element(allowed)
        }
        None => title.element(allowed),
    }
}

fn sentence(outcome: &Outcome) -> String {
    let many = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let (files, plugins) = (many(outcome.files.len(), "file"), many(outcome.plugins, "plugin"));
    let errors = many(count(outcome, Severity::Error), "error");
    let warnings = many(count(outcome, Severity::Warning), "warning");
    let hint = if outcome.plugins == 0 {
        "\nNo plugin of Holdfast's is in there. A file that is nothing but a configuration: --plugin NAME."
    } else if outcome.findings.is_empty() {
        ""
    } else {
        "\nWhy it matters: holdfastctl explain CODE"
    };
    format!("{files}, {plugins}: {errors}, {warnings}{hint}\n")
}

/// The same as JSON.
pub(crate) fn for_programs(outcome: &Outcome) -> Value {
    let finding = |finding: &Finding| {
        let file = outcome.files.get(finding.file);
        let (line, column) = file.map_or((1, 1), |file| file.position(finding.span.start));
        json!({
            "code": finding.code.id,
            "severity": finding.code.severity.as_str(),
            "file": file.map(|file| file.name.as_str()),
            "line": line,
            "column": column,
            "title": finding.code.title,
            "path": finding.path,
            "found": finding.found,
            "allowed": finding.allowed,
        })
    };
    json!({
        "files": outcome.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
        "plugins": outcome.plugins,
        "errors": count(outcome, Severity::Error),
        "warnings": count(outcome, Severity::Warning),
        "findings": outcome.findings.iter().map(finding).collect::<Vec<_>>(),
        "notes": outcome.notes,
    })
}

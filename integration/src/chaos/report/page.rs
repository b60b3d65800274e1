//! A page that needs nothing but itself: no script, no font, no picture from elsewhere.

use std::fmt::Write as _;

use super::super::Seen;
use super::{Outcome, picture};

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Holdfast: chaos</title>
<style>
  :root{color-scheme:light dark}
  body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem}
  table{border-collapse:collapse;width:100%} th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #818b9855}
  .no{color:#d1343f;font-weight:600} svg{max-width:100%;height:auto;margin:.6rem 0}
  @media (prefers-color-scheme:dark){.no{color:#ff7b72}}
</style></head><body>
<h1>Two gateways, two regions, and what was broken</h1>
<p>The same load and the same accidents met two sets of everything at the same time: Envoys with Holdfast, and the same Envoys without it.
Grey is where something was broken.</p>
";

/// The page.
pub fn page(outcomes: &[Outcome]) -> String {
    let mut page = HEAD.to_owned();
    verdicts(&mut page, outcomes);
    for outcome in outcomes {
        section(&mut page, outcome);
    }
    page.push_str("</body></html>\n");
    page
}

fn verdicts(page: &mut String, outcomes: &[Outcome]) {
    page.push_str("<table><tr><th></th><th>experiment</th><th>verdict</th></tr>\n");
    for outcome in outcomes {
        let (number, name) = (outcome.experiment.number, escaped(outcome.experiment.name));
        let class = if outcome.stands() { "yes" } else { "no" };
        let _ = writeln!(
            page,
            "<tr><td>{number}</td><td><a href=\"#e{number}\">{name}</a></td><td class=\"{class}\">{}</td></tr>",
            outcome.verdict()
        );
    }
    page.push_str("</table>\n");
}

fn section(page: &mut String, outcome: &Outcome) {
    let experiment = &outcome.experiment;
    let (number, name, hypothesis) = (experiment.number, escaped(experiment.name), escaped(experiment.hypothesis));
    let _ = writeln!(page, "<h2 id=\"e{number}\">{number}. {name}</h2>\n<p>{hypothesis}</p>\n{}", picture(outcome));
    page.push_str("<table><tr><th></th><th>with Holdfast</th><th>without</th></tr>\n");
    for row in outcome.rows() {
        let _ = writeln!(
            page,
            "<tr><td>{}</td>{}{}</tr>",
            escaped(&row.check.words()),
            cell(&row.with),
            cell(&row.without)
        );
    }
    page.push_str("</table>\n");
}

fn cell(seen: &Seen) -> String {
    let (class, mark) = if seen.held { ("yes", "✓") } else { ("no", "✗") };
    format!("<td class=\"{class}\">{} {mark}</td>", escaped(&seen.figure))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::super::{Run, all};
    use super::*;

    #[test]
    fn the_page_shows_every_experiment_and_asks_nobody_for_anything() {
        let outcomes: Vec<Outcome> = all()
            .into_iter()
            .map(|experiment| Outcome { experiment, with: Run::default(), without: Run::default() })
            .collect();
        let page = page(&outcomes);
        assert_eq!(page.matches("<svg").count(), outcomes.len());
        let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http") && !elsewhere.contains("<script") && !elsewhere.contains("src="));
        assert!(page.contains("FAILED"), "nothing was seen");
    }
}

//! Who is woken finds a page.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, ensure};
use integration::TestResult;
use integration::observability::alerts::{ESCALATION, RUNBOOK, alerts};
use integration::observability::repository;
use serde_json::Value;

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn headings(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

#[test]
fn every_alert_has_its_section_and_every_runbook_url_leads_to_one() -> TestResult {
    let page = std::fs::read_to_string(repository().join(RUNBOOK))?;
    let anchors: BTreeSet<String> = headings(&page).map(anchor).collect();
    let rules = std::fs::read_to_string(repository().join("observability/rules/holdfast.rules.yaml"))?;
    let rules: Value = serde_yaml_ng::from_str(&rules)?;
    let groups = rules["groups"].as_array().context("groups")?;
    let told =
        groups.iter().filter_map(|group| group["rules"].as_array()).flatten().filter(|rule| rule["alert"].is_string());
    for rule in told {
        let url = rule["annotations"]["runbook_url"]
            .as_str()
            .with_context(|| format!("{}: no runbook_url", rule["alert"]))?;
        let (path, anchor) = url.split_once('#').with_context(|| url.to_owned())?;
        ensure!(path == RUNBOOK && anchors.contains(anchor), "{url} leads nowhere");
        ensure!(
            rule["labels"]["severity"].is_string() && rule["annotations"]["description"].is_string(),
            "{}",
            rule["alert"]
        );
    }
    Ok(())
}

#[test]
fn a_section_says_what_it_means_what_was_done_and_what_to_do() -> TestResult {
    let page = std::fs::read_to_string(repository().join(RUNBOOK))?;
    for alert in alerts() {
        let (_, section) = page
            .split_once(&format!("\n### {}\n", alert.name))
            .with_context(|| format!("no section {}", alert.name))?;
        let section = section.split("\n### ").next().unwrap_or_default().split("\n## ").next().unwrap_or_default();
        for part in ["**Means.**", "**Already done.**", "**Do.**", "**Escalate.**"] {
            ensure!(section.contains(part), "{} has no {part}", alert.name);
        }
    }
    ensure!(page.contains(ESCALATION), "the way up isn't there");
    Ok(())
}

/// What somebody types at night must do what the page says.
#[test]
fn the_command_of_the_page_forces_the_shipped_breaker_open() -> TestResult {
    let page = std::fs::read_to_string(repository().join(RUNBOOK))?;
    let line = page.lines().find(|line| line.starts_with("sed ")).context("no sed")?;
    let mut words = line.split('\'').skip(1);
    let script = words.next().context("no script")?;
    let file = words.next().and_then(|rest| rest.split_whitespace().next()).context("no file")?;
    let before = repository().join("envoy-configs").join(file);
    let after = Command::new("sed").arg(script).arg(&before).output()?.stdout;
    let (before, after) = (std::fs::read_to_string(before)?, String::from_utf8(after)?);
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(before, after)| before != after).collect();
    ensure!(changed.len() == 1 && changed[0].1.contains("\"mode\": \"force_open\""), "{changed:?}");
    Ok(())
}

#[test]
fn links_lead_to_files_that_exist() -> TestResult {
    for (folder, page) in [("docs", "docs/runbook.md"), ("observability", "observability/README.md")] {
        let text = std::fs::read_to_string(repository().join(page))?;
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let file = if path.is_empty() { repository().join(page) } else { repository().join(folder).join(path) };
            ensure!(file.exists(), "{page}: {link}");
            if !fragment.is_empty() {
                let there = std::fs::read_to_string(&file)?;
                ensure!(
                    headings(&there).any(|heading| anchor(heading) == fragment),
                    "{page}: {link} has no such section"
                );
            }
        }
    }
    Ok(())
}

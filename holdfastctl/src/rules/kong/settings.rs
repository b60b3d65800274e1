//! `kong.conf`.

use crate::check::Context;
use crate::codes;
use crate::entry::Entry;
use crate::finding::Finding;
use suite::parts::Part;

/// Kong's own, in bytes.
const BODY_BUFFER: usize = 8 << 10;

/// What filters need of it.
pub(crate) fn settings(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut files = context.files.iter().enumerate();
    let Some((number, file)) = files.find(|(_, file)| file.has_settings) else { return };
    let kongs = || context.entries.iter().filter(|entry| entry.kong);
    if kongs().next().is_some() && file.setting("nginx_wasm_shm_kv").is_none() {
        let advice = "nginx_wasm_shm_kv = 64m";
        findings.push(Finding::new(&codes::NO_SHARED, number, &(0..0), "no nginx_wasm_shm_kv", advice));
    }
    if let Some((value, span)) = file.setting("wasm").filter(|(value, _)| kongs().next().is_some() && value != "on") {
        findings.push(Finding::new(&codes::WASM_OFF, number, &span, format!("wasm = {value}"), "wasm = on"));
    }
    for name in
        ["nginx_proxy_proxy_next_upstream", "nginx_http_proxy_next_upstream", "nginx_upstream_proxy_next_upstream"]
    {
        let said = file.setting(name).filter(|(value, _)| value.contains("non_idempotent"));
        if let Some((value, span)) = said.filter(|_| kongs().any(|entry| entry.part(Part::Idempotency).is_some())) {
            findings.push(Finding::new(&codes::RESENT, number, &span, value, "no non_idempotent"));
        }
    }
    let Some(most) = kongs().filter_map(Entry::idempotency).map(|policy| policy.max_body).max() else { return };
    let name = "nginx_http_client_body_buffer_size";
    let said = file.setting(name);
    if said.as_ref().map_or(BODY_BUFFER, |(value, _)| bytes(value)) < most {
        let found = said.as_ref().map_or_else(|| format!("no {name}"), |(value, _)| format!("{name} = {value}"));
        let span = said.map_or(0..0, |(_, span)| span);
        let advice = format!("max_body at least, {most} bytes");
        findings.push(Finding::new(&codes::BODY_BUFFER, number, &span, found, advice));
    }
}

/// `128k`.
fn bytes(value: &str) -> usize {
    let size = |word: &str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match word.get(digits.len()..).unwrap_or_default() {
            "k" | "K" => 1 << 10,
            "m" | "M" => 1 << 20,
            _ => 1,
        };
        digits.parse::<usize>().unwrap_or_default().saturating_mul(unit)
    };
    value.split_whitespace().map(size).fold(1, usize::saturating_mul)
}

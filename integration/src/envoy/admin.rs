//! What Envoy's admin interface tells.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Envoy, Prometheus};
use crate::{Call, TestResult};

/// `/stats` of thousands of keys, or a `/config_dump`, takes a moment on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Envoy {
    /// The body of a GET on the admin port, for example `/clusters`.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub fn admin_get(&self, path: &str) -> TestResult<String> {
        ask(Call::get(self.admin_port(), path))
    }

    /// The body of a POST on the admin port, for example `/reset_counters`.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub fn admin_post(&self, path: &str) -> TestResult<String> {
        ask(Call::post(self.admin_port(), path, b""))
    }

    /// One counter or gauge by its full name; 0 when there is none (most are made at their first use).
    ///
    /// # Errors
    /// When admin doesn't answer.
    pub fn stat(&self, name: &str) -> TestResult<u64> {
        Ok(self.all_stats("/stats")?.get(name).copied().unwrap_or(0))
    }

    /// Counters and gauges whose name contains a match of `regex` (Envoy's own, RE2), by name.
    ///
    /// # Errors
    /// When admin doesn't answer or refuses the expression.
    pub fn stats(&self, regex: &str) -> TestResult<BTreeMap<String, u64>> {
        self.all_stats(&format!("/stats?filter={}", percent_encoded(regex)))
    }

    /// Everything as Prometheus would scrape it.
    ///
    /// # Errors
    /// When admin doesn't answer.
    pub fn prometheus(&self) -> TestResult<Prometheus> {
        Ok(Prometheus::parse(&self.admin_get("/stats/prometheus")?))
    }

    /// Names and ports of all listeners, also of those that came over LDS.
    ///
    /// # Errors
    /// When admin doesn't answer.
    pub fn ports(&self) -> TestResult<Vec<(String, u16)>> {
        let text = self.admin_get("/listeners?format=json")?;
        let value: Value = serde_json::from_str(&text).context("reading /listeners")?;
        let listeners = value["listener_statuses"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(listeners.iter().filter_map(name_and_port).collect())
    }

    fn all_stats(&self, path: &str) -> TestResult<BTreeMap<String, u64>> {
        Ok(self.admin_get(path)?.lines().filter_map(stat_line).collect())
    }
}

fn ask(call: Call) -> TestResult<String> {
    let reply = call.timeout(TIMEOUT).send()?;
    ensure!(reply.status == 200, "admin answered {}: {}", reply.status, reply.text());
    Ok(reply.text())
}

/// Histograms and texts have no whole number behind the colon and are left out.
fn stat_line(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.rsplit_once(": ")?;
    Some((name.to_owned(), value.parse().ok()?))
}

fn name_and_port(listener: &Value) -> Option<(String, u16)> {
    let port = listener["local_address"]["socket_address"]["port_value"].as_u64()?;
    Some((listener["name"].as_str()?.to_owned(), u16::try_from(port).ok()?))
}

pub(crate) fn percent_encoded(text: &str) -> String {
    let encoded: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    encoded.concat()
}

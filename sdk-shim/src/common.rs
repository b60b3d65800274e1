//! The settings that every plugin has.

use crate::config::{Bounds, Faults, Reader};
use crate::flavor::Capabilities;
use crate::host::{Host, Map};
use crate::key::{KeySpec, Part, has_separator};
use crate::overrides::Mode;
use crate::ratio::Ratio;
use core::time::Duration;

/// Which filter chain a plugin sits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chain {
    /// The listener's: once per request.
    Downstream,
    /// The cluster's: once per attempt.
    Upstream,
}

impl Chain {
    /// As configurations and labels spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
        }
    }
}

/// A secret, or where it is found.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In this variable of the proxy's environment (the proxy must let it through).
    Env(String),
    /// In the configuration itself, where `/config_dump` shows it.
    Literal(String),
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "Env({name})"),
            Self::Literal(_) => f.write_str("Literal(..)"),
        }
    }
}

impl Secret {
    /// The secret itself; a fault where the environment hasn't got it.
    pub fn resolve<H: Host>(&self, host: &H, path: &str) -> Result<Vec<u8>, Faults> {
        match self {
            Self::Literal(text) => Ok(text.clone().into_bytes()),
            Self::Env(name) => match host.env(name) {
                Some(value) if !value.is_empty() => Ok(value.into_bytes()),
                _ => Err(Faults::one(
                    path,
                    format!("no variable {name} in the VM's environment"),
                    "a variable that vm_config.environment_variables lets through",
                )),
            },
        }
    }
}

/// The request header that asks for decisions.
const DEBUG: &str = "x-holdfast-debug";
/// Filter state that tells the plugins behind the first one that whoever asks may.
const MAY_DEBUG: &[&str] = &["holdfast.debug"];

/// Whether the request asks for decisions, with the right token. The token goes no further than the first plugin that has one; it leaves word for
/// the others in filter state, which no client can set.
pub fn asks_for_decisions<H: Host>(host: &H, token: Option<&[u8]>) -> bool {
    let Some(token) = token else { return false };
    let Some(given) = host.header(Map::RequestHeaders, DEBUG) else {
        return host.property(MAY_DEBUG).is_some_and(|word| word == b"1");
    };
    host.remove_header(Map::RequestHeaders, DEBUG);
    let may = same_secret(&given, token);
    if may {
        host.set_property(MAY_DEBUG, b"1");
    }
    may
}

/// Compares without telling by its duration where two secrets differ.
pub fn same_secret(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// The settings that every plugin has; `docs/configuration.md` says what they are for.
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Which filter chain this entry is in.
    pub chain: Chain,
    /// Entries of the same name share state and metrics.
    pub instance: String,
    /// What to do with decisions.
    pub mode: Mode,
    /// The share of requests that decisions are enforced on; the rest is dry-run.
    pub enforce_ratio: Ratio,
    /// What state is kept per.
    pub key: KeySpec,
    /// How many keys there may be.
    pub max_keys: u32,
    /// How old a VM's copy of a cell may become.
    pub state_refresh: Duration,
    /// The proxy's entry says `allow_on_headers_stop_iteration: true`.
    pub headers_stop_iteration: bool,
    /// Go on without what the host lacks.
    pub allow_degraded: bool,
    /// Mark our own answers so that the hop in front doesn't retry them.
    pub mark_rejections: bool,
    /// Secrets may stand in the configuration itself.
    pub insecure_literal: bool,
    /// Who may ask for decisions in response headers.
    pub debug_token: Option<Secret>,
}

impl Common {
    /// Reads the common fields of an object, and notes their faults in it.
    pub fn read(read: &mut Reader<'_>) -> Self {
        let insecure_literal = read.bool("insecure_literal", false);
        let common = Self {
            chain: read.word(
                "chain",
                Chain::Downstream,
                &[("downstream", Chain::Downstream), ("upstream", Chain::Upstream)],
            ),
            instance: read.text(
                "instance",
                "default",
                "1 to 32 of a-z A-Z 0-9 _ . -, the first a letter or digit, without \"--\"",
                is_instance,
            ),
            mode: read.word("mode", Mode::Enforce, &Mode::ALL),
            enforce_ratio: read.ratio("enforce_ratio", Ratio::ONE, Ratio::ZERO),
            key: KeySpec::read(read),
            max_keys: u32::try_from(read.integer("max_keys", 1_000, Bounds::new(1, 10_000))).unwrap_or(1_000),
            state_refresh: read.duration(
                "state_refresh",
                Duration::from_millis(10),
                Bounds::new(Duration::ZERO, Duration::from_secs(1)),
            ),
            headers_stop_iteration: read.bool("headers_stop_iteration", false),
            allow_degraded: read.bool("allow_degraded", false),
            mark_rejections: read.bool("mark_rejections", true),
            insecure_literal,
            debug_token: read.object("debug_token", |read| read_secret(read, insecure_literal)).flatten(),
        };
        check_upstream_host(read, &common);
        common
    }

    /// What this host lacks for these settings.
    pub fn check_host(&self, caps: &Capabilities) -> Faults {
        let mut faults = Faults::default();
        if self.chain == Chain::Upstream && !caps.upstream_chain {
            faults.push("$.chain", "\"upstream\"", "\"downstream\": this host lacks the capability upstream_chain");
        }
        faults
    }
}

fn is_instance(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    name.len() <= 32
        && name.bytes().all(legal)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !has_separator(name)
}

/// An upstream reject is final for the client, so per-host keys only observe: ejecting hosts is outlier detection's job.
fn check_upstream_host(read: &mut Reader<'_>, common: &Common) {
    if !common.key.parts().contains(&Part::UpstreamHost) {
        return;
    }
    if common.chain != Chain::Upstream {
        read.fault(
            "key",
            "\"upstream_host\" in the downstream chain",
            "\"upstream_host\" with \"chain\": \"upstream\" only",
        );
    }
    if !matches!(common.mode, Mode::DryRun | Mode::Disabled) {
        read.fault(
            "mode",
            format!("\"{}\" with the key \"upstream_host\"", common.mode.as_str()),
            "\"dry_run\" or \"disabled\": ejecting hosts is outlier detection's job",
        );
    }
}

/// Reads `{"env": "NAME"}` or `{"literal": "..."}`.
pub fn read_secret(read: &mut Reader<'_>, insecure_literal: bool) -> Option<Secret> {
    let allowed = "1 to 4096 characters";
    let check = |text: &str| !text.is_empty() && text.len() <= 4_096;
    let (has_env, has_literal) = (read.has("env"), read.has("literal"));
    let env = read.text("env", "", allowed, check);
    let literal = literal(read, allowed, check);
    if has_env == has_literal {
        read.fault(
            "",
            "not exactly one of env, literal",
            "{\"env\": \"NAME\"}, or {\"literal\": \"...\"} with \"insecure_literal\": true",
        );
        return None;
    }
    if has_literal && !insecure_literal {
        read.fault(
            "literal",
            "a secret in clear",
            "{\"env\": \"NAME\"}, or \"insecure_literal\": true beside it: /config_dump shows it",
        );
    }
    Some(if has_env { Secret::Env(env) } else { Secret::Literal(literal) })
}

/// A fault shows what was found, and goes to the log: not here.
fn literal(read: &mut Reader<'_>, allowed: &str, check: impl Fn(&str) -> bool) -> String {
    let Some(value) = read.raw("literal") else { return String::new() };
    if let Some(text) = value.as_str().filter(|text| check(text)) {
        return text.to_owned();
    }
    read.fault("literal", "something else, not shown here", allowed);
    String::new()
}

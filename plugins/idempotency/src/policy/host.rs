//! What a host must have for a policy: capabilities, and the secrets in its environment.

use super::{Kind, Policy, Remote, Store};
use crate::secret::{MIN_SECRET, SecretFault, Secrets};
use sdk_shim::config::{Faults, path_of, shown};
use sdk_shim::flavor::Capabilities;
use sdk_shim::host::Host;
use sdk_shim::json::Value;

impl Policy {
    /// What this host lacks for this policy, its secrets included.
    pub fn check_on<H: Host>(&self, host: &H) -> Faults {
        let mut faults = self.check_host(host.capabilities());
        if let Some(Err(missing)) = self.common.debug_token.as_ref().map(|token| token.resolve(host, "$.debug_token")) {
            faults.append(missing);
        }
        if let Some(Err(unusable)) = (!self.secrets.is_empty()).then(|| self.secrets(host)) {
            faults.append(unusable);
        }
        faults
    }

    /// The secrets themselves, or a fault for each that the environment hasn't got, that is too short (16 bytes are needed) or there already. No
    /// fault shows one. A policy with its store in memory has none, and must not be asked.
    pub fn secrets<H: Host>(&self, host: &H) -> Result<Secrets, Faults> {
        let (mut faults, mut usable) = (Faults::default(), Vec::with_capacity(self.secrets.len()));
        for (n, secret) in self.secrets.iter().enumerate() {
            let path = format!("$.secret[{n}]");
            match secret.resolve(host, &path) {
                Ok(bytes) => usable.push(bytes),
                Err(missing) => faults.append(missing),
            }
            // Whatever is wrong now came with the last one.
            if let Err(fault @ (SecretFault::TooShort { .. } | SecretFault::Twice { .. })) = Secrets::new(&usable) {
                faults.push(&path, found(fault), format!("a secret of at least {MIN_SECRET} bytes, each one once"));
                usable.pop();
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Secrets::new(&usable).map_err(|fault| Faults::one("$.secret", found(fault), "a secret"))
    }

    /// What this host lacks for this policy.
    pub fn check_host(&self, caps: &Capabilities) -> Faults {
        let mut faults = self.common.check_host(caps);
        self.check_holding(caps, &mut faults);
        match &self.store {
            Store::Memory { accept_eviction: false, .. } if !caps.keeps_shared => faults.push(
                "$.store.accept_eviction",
                "false",
                "true: this host lacks the capability keeps_shared, and may evict records",
            ),
            Store::Memory { .. } => {}
            Store::Remote(remote) => self.check_remote(remote, caps, &mut faults),
        }
        faults
    }

    /// A request is held until its claim is answered, and its answer until it is stored.
    fn check_holding(&self, caps: &Capabilities, faults: &mut Faults) {
        if !self.wait.is_zero() && !caps.pause_without_call {
            let allowed = "\"reject\": this host lacks the capability pause_without_call";
            faults.push("$.on_in_flight", "\"wait\"", allowed);
        }
        if !caps.pause_response_headers {
            if !self.accept_reply_before_store {
                let allowed = "true: this host lacks the capability pause_response_headers, and answers go out before they are stored";
                faults.push("$.accept_reply_before_store", "false", allowed);
            }
            return;
        }
        if self.accept_reply_before_store {
            let allowed = "false: this host has the capability pause_response_headers";
            faults.push("$.accept_reply_before_store", "true", allowed);
        }
        if !self.common.headers_stop_iteration {
            let allowed = "true, and allow_on_headers_stop_iteration: true in Envoy's entry";
            faults.push("$.headers_stop_iteration", "false", allowed);
        }
    }

    fn check_remote(&self, remote: &Remote, caps: &Capabilities, faults: &mut Faults) {
        if remote.kind != Kind::Webdis && !caps.tcp_tunnel {
            let allowed = "\"webdis\" or \"memory\": this host lacks the capability tcp_tunnel";
            faults.push("$.store.kind", format!("\"{}\"", remote.kind.as_str()), allowed);
        }
        if caps.named_clusters {
            return;
        }
        let homes = self.home.iter().flat_map(|home| &home.map).map(|(name, at)| (path_of("$.home.map", name), at));
        for (path, at) in homes.chain([("$.store.cluster".to_owned(), &remote.cluster)]) {
            if !at.is_empty() && !is_address(at) {
                let allowed = "\"host:port\": this host lacks the capability named_clusters";
                faults.push(&path, shown(&Value::from(at.as_str())), allowed);
            }
        }
    }
}

/// What a fault says in place of the secret.
fn found(fault: SecretFault) -> String {
    match fault {
        SecretFault::Missing => "none".to_owned(),
        SecretFault::TooShort { len, .. } => format!("a secret of {len} bytes"),
        SecretFault::Twice { .. } => "a secret that is there already".to_owned(),
    }
}

fn is_address(text: &str) -> bool {
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.rsplit_once(':').is_some_and(|(host, rest)| !host.is_empty() && port(rest))
}

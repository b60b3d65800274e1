//! What a scenario is made of.

use super::Ask;
use core::time::Duration;
use sdk_shim::flavor::{Capabilities, Flavor};
use serde_json::{Value, json};

/// The plugin that it is about, as modules are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Plugin {
    CircuitBreaker,
    RetryBudget,
    Idempotency,
    ProtocolHealth,
    Metrics,
    /// Several of them together.
    Suite,
}

/// Something that users rely on.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// A user's sentence.
    pub name: &'static str,
    /// Who does it.
    pub plugin: Plugin,
    /// Its configuration. `{service}` stands for the service, as the host calls what it can call.
    pub config: &'static str,
    /// Fields that Kong wants besides.
    pub in_kong: &'static str,
    /// How often the route has the proxy try again what came back as 5xx.
    pub retries: u32,
    /// What it needs of a host, by the names of [`Capabilities::named`].
    pub needs: Vec<&'static str>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What happens next.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client asks, so many times, one after the other.
    Ask(u32, Ask),
    /// Clients ask until one of them sees what is told, at most so many.
    Until(u32, Ask),
    /// A client asks and waits for the service, which takes its time; others go on meanwhile.
    Begin(&'static str, Ask),
    /// That client has its answer.
    End(&'static str),
    /// That client leaves before it has one.
    Leave(&'static str),
    /// Time passes.
    Wait(Duration),
    /// A counter or gauge, summed over all series that have these labels.
    Total(&'static str, Vec<(&'static str, &'static str)>, Count),
}

/// How much must have been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So much.
    Exactly(u64),
    /// So much or more: where it depends on which worker was asked.
    AtLeast(u64),
}

// === impl Count ===

impl Count {
    /// Whether this is it.
    pub const fn is(self, found: u64) -> bool {
        match self {
            Self::Exactly(wanted) => found == wanted,
            Self::AtLeast(wanted) => found >= wanted,
        }
    }
}

// === impl Plugin ===

impl Plugin {
    /// Its module's name, and the suite's field.
    pub const fn module(self) -> &'static str {
        match self {
            Self::CircuitBreaker => "circuit_breaker",
            Self::RetryBudget => "retry_budget",
            Self::Idempotency => "idempotency",
            Self::ProtocolHealth => "protocol_health",
            Self::Metrics => "metrics",
            Self::Suite => "holdfast_suite",
        }
    }
}

// === impl Scenario ===

impl Scenario {
    pub(crate) fn new(plugin: Plugin, name: &'static str, config: &'static str) -> Self {
        Self { name, plugin, config, in_kong: "{}", retries: 0, needs: Vec::new(), steps: Vec::new() }
    }

    /// Needs this of a host.
    pub(crate) fn needs(mut self, capability: &'static str) -> Self {
        self.needs.push(capability);
        self
    }

    /// Kong wants these fields besides.
    pub(crate) fn in_kong(mut self, fields: &'static str) -> Self {
        self.in_kong = fields;
        self
    }

    /// The route retries.
    pub(crate) fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Then a client asks.
    pub(crate) fn ask(self, ask: Ask) -> Self {
        self.times(1, ask)
    }

    /// Then clients ask.
    pub(crate) fn times(self, count: u32, ask: Ask) -> Self {
        self.then(Step::Ask(count, ask))
    }

    /// Then clients ask until one of them sees what is told.
    pub(crate) fn until(self, most: u32, ask: Ask) -> Self {
        self.then(Step::Until(most, ask))
    }

    /// Then a client asks, and the service takes its time.
    pub(crate) fn begin(self, who: &'static str, ask: Ask) -> Self {
        self.then(Step::Begin(who, ask))
    }

    /// Then that client has its answer.
    pub(crate) fn end(self, who: &'static str) -> Self {
        self.then(Step::End(who))
    }

    /// Then that client leaves.
    pub(crate) fn leave(self, who: &'static str) -> Self {
        self.then(Step::Leave(who))
    }

    /// Then this happens.
    pub(crate) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Then time passes.
    pub(crate) fn wait(self, millis: u64) -> Self {
        self.then(Step::Wait(Duration::from_millis(millis)))
    }

    /// Then this has been counted.
    pub(crate) fn total(self, name: &'static str, labels: &[(&'static str, &'static str)], total: u64) -> Self {
        self.then(Step::Total(name, labels.to_vec(), Count::Exactly(total)))
    }

    /// Then so much has been counted, or more.
    pub(crate) fn at_least(self, name: &'static str, labels: &[(&'static str, &'static str)], total: u64) -> Self {
        self.then(Step::Total(name, labels.to_vec(), Count::AtLeast(total)))
    }

    /// The plugin's configuration on a host, which calls the service so.
    ///
    /// # Panics
    /// Where the table has a configuration that is no JSON object.
    pub fn configuration(&self, flavor: Flavor, service: &str) -> Value {
        let object = |text: &str| match serde_json::from_str(&text.replace("{service}", service)) {
            Ok(Value::Object(fields)) => fields,
            other => panic!("{:?} has a configuration that is no JSON object: {other:?}", self.name),
        };
        let mut config = object(self.config);
        if flavor == Flavor::WasmX {
            config.extend(object(self.in_kong));
        }
        Value::Object(config)
    }

    /// The same for the suite, which runs this plugin alone where the scenario is about one.
    pub fn suites_configuration(&self, flavor: Flavor, service: &str) -> Value {
        let mut own = self.configuration(flavor, service);
        if self.plugin == Plugin::Suite {
            return own;
        }
        let chain = own.as_object_mut().and_then(|fields| fields.remove("chain"));
        let mut whole = json!({ self.plugin.module(): own });
        if let Some(chain) = chain {
            whole["chain"] = chain;
        }
        whole
    }

    /// Whether its entry stands in the upstream chain.
    pub fn is_upstream(&self) -> bool {
        self.configuration(Flavor::Envoy, "")["chain"] == "upstream"
    }

    /// Whether its answers have trailers, so that HTTP/2 is spoken all the way.
    pub fn speaks_http2(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Ask(_, ask) | Step::Until(_, ask) | Step::Begin(_, ask) => ask.answer.has_trailers(),
            _ => false,
        })
    }

    /// What the host lacks for it.
    ///
    /// # Panics
    /// Where the table names a capability that there is none of.
    pub fn lacks(&self, host: &Capabilities) -> Vec<&'static str> {
        let has = |need: &&'static str| {
            let named = host.named().into_iter().find(|(name, _)| name == need);
            named.unwrap_or_else(|| panic!("{:?} needs {need:?}, which is no capability", self.name)).1
        };
        self.needs.iter().copied().filter(|need| !has(need)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Plugin, table};
    use sdk_shim::flavor::{ENVOY, Flavor, WASMX};
    use std::collections::BTreeSet;

    #[test]
    fn each_is_a_sentence_of_its_own() {
        let names: BTreeSet<_> = table().iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), table().len());
        assert!(names.iter().all(|name| name.ends_with('.') && name.contains(' ')), "{names:#?}");
    }

    #[test]
    fn a_full_envoy_plays_all_of_them_and_kong_most() {
        let all = table();
        assert!(all.iter().all(|scenario| scenario.lacks(&ENVOY).is_empty()));
        let kongs = all.iter().filter(|scenario| scenario.lacks(&WASMX).is_empty()).count();
        assert!(kongs * 3 >= all.len() * 2, "{kongs} of {}", all.len());
    }

    #[test]
    fn hosts_get_the_same_configuration_but_for_what_kong_wants() {
        for scenario in table() {
            let (envoy, kong) =
                (scenario.configuration(Flavor::Envoy, "s"), scenario.configuration(Flavor::WasmX, "s"));
            let allowed = scenario.plugin == Plugin::Idempotency;
            assert!(envoy == kong || allowed, "{:?} has another configuration in Kong", scenario.name);
        }
    }

    #[test]
    fn the_suites_entry_runs_one_plugin() {
        for scenario in table().into_iter().filter(|scenario| scenario.plugin != Plugin::Suite) {
            let suite = scenario.suites_configuration(Flavor::Envoy, "s");
            let fields: Vec<&String> = suite.as_object().unwrap().keys().filter(|name| *name != "chain").collect();
            assert_eq!(fields, [scenario.plugin.module()]);
        }
    }
}

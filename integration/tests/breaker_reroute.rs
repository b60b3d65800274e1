//! On open, move to the other region: only those who may be moved, and nobody by his own choice.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story;

use integration::client;
use integration::{Call, Envoy, Fault, Storm, TestResult, Upstream, config};
use integration::{eventually, eventually_eq};
use serde_json::{Value, json};
use story::{SOON, breaker, fail_until_rejected, metric, until_every_worker_knows};

const FALLBACK: &str = "x-holdfast-fallback";
const OPEN: Option<&str> = Some("circuit-breaker; cause=open");

/// Two regions, the second one behind the route that matches our header, as in the shipped configuration.
struct Regions {
    first: Upstream,
    second: Upstream,
    envoy: Envoy,
    edge: u16,
}

// === impl Regions ===

impl Regions {
    fn begin(reroute: &Value) -> TestResult<Self> {
        Self::with(json!({"on_open": {"reroute": reroute}}))
    }

    fn with(change: Value) -> TestResult<Self> {
        let (first, second) = (Upstream::start("first")?, Upstream::start("second")?);
        let routes =
            [config::when_header(config::route("fallback", "second"), FALLBACK, "1"), config::route("all", "first")];
        let listener = config::listener("edge", &[breaker(change)?.filter()], &routes);
        let clusters = [config::cluster("first", &[first.port()]), config::cluster("second", &[second.port()])];
        let envoy = Envoy::start(&config::bootstrap(&[listener], &clusters))?;
        Ok(Self { edge: envoy.port("edge")?, first, second, envoy })
    }

    fn call(&self) -> Call {
        Call::get(self.edge, "/")
    }

    /// Until the breaker no longer lets anybody through to the first region.
    fn first_fails(&self) -> TestResult {
        self.first.set(Fault::Status(500));
        let moved_or_refused = || metric(&self.envoy, "all", "rejected_total;cause=open").map(|count| count > 0);
        let burst = Storm::new(self.call().fresh_connection()).concurrency(8).total(16);
        eventually("the breaker opens", SOON, || {
            burst.clone().run(SOON)?;
            moved_or_refused()
        })?;
        until_every_worker_knows();
        self.first.reset_counts();
        self.second.reset_counts();
        Ok(())
    }
}

#[test]
fn everybody_is_moved_where_nothing_forbids_it() -> TestResult {
    let regions = Regions::begin(&json!({}))?;
    assert_eq!(regions.call().send()?.served_by(), Some("first"));
    regions.first_fails()?;
    let moved = metric(&regions.envoy, "all", "rerouted_total")?;

    let tally = Storm::new(regions.call().fresh_connection()).concurrency(8).total(50).run(SOON)?;
    assert_eq!((tally.status(200), tally.served_by("second")), (50, 50));
    assert_eq!((regions.first.hits(), regions.second.hits()), (0, 50));
    assert_eq!(metric(&regions.envoy, "all", "rerouted_total")?, moved + 50);
    assert!(regions.second.seen().iter().all(|seen| seen.header(FALLBACK) == Some("1")));
    Ok(())
}

#[test]
fn the_sick_region_is_still_asked_by_probes_and_gets_its_traffic_back() -> TestResult {
    let open = json!({"base": "300ms", "max": "300ms", "jitter": 0});
    let regions = Regions::with(json!({"open": open, "on_open": {"reroute": {}}}))?;
    regions.first_fails()?;
    regions.first.set(Fault::Healthy);
    eventually_eq("home again", SOON, &Some("first".to_owned()), || {
        regions.call().send().map(|reply| reply.served_by().map(str::to_owned))
    })?;
    until_every_worker_knows();
    let tally = Storm::new(regions.call()).concurrency(4).total(40).run(SOON)?;
    assert_eq!(tally.served_by("first"), 40);
    Ok(())
}

#[test]
fn data_that_must_stay_is_refused_not_moved() -> TestResult {
    let only_if = json!({"header": "x-data-region", "in": ["any", "eu"]});
    let regions = Regions::begin(&json!({"only_if": only_if}))?;
    regions.first_fails()?;

    let from = |region: &[u8]| regions.call().header("x-data-region", region).send();
    assert_eq!(from(b"eu")?.served_by(), Some("second"));
    assert_eq!(from(b"any")?.served_by(), Some("second"));
    let strangers: [&[u8]; 6] = [b"ch", b"EU", b"eu,ch", b"eu ch", b"", b"\xff"];
    for region in strangers {
        let reply = from(region)?;
        assert_eq!((reply.status, reply.rejected_by(), reply.served_by()), (503, OPEN, None), "{region:?}");
    }
    assert_eq!(regions.call().send()?.rejected_by(), OPEN, "no header");
    assert_eq!((regions.first.hits(), regions.second.hits()), (0, 2));
    Ok(())
}

#[test]
fn a_listed_value_in_front_of_another_one_moves_nobody() -> TestResult {
    let regions = Regions::begin(&json!({"only_if": {"header": "x-data-region", "in": ["eu"]}}))?;
    regions.first_fails()?;
    // As when a client sends `eu` and the filter that knows better appends what it knows.
    for order in [["eu", "ch"], ["ch", "eu"]] {
        let reply = order.iter().fold(regions.call(), |call, region| call.header("x-data-region", region)).send()?;
        assert_eq!((reply.rejected_by(), reply.served_by()), (OPEN, None), "{order:?}");
    }
    Ok(())
}

#[test]
fn our_header_without_a_value_is_taken_away_as_well() -> TestResult {
    let regions = Regions::begin(&json!({}))?;
    assert_eq!(regions.call().header(FALLBACK, "").send()?.served_by(), Some("first"));
    assert_eq!(regions.call().header(FALLBACK, "").header(FALLBACK, "1").send()?.served_by(), Some("first"));
    let seen = regions.first.seen();
    let leaked: Vec<_> = seen.iter().flat_map(|seen| seen.headers.get_all(FALLBACK)).collect();
    assert!(leaked.is_empty(), "the service saw {leaked:?}");
    Ok(())
}

#[test]
fn who_sends_our_header_himself_gains_nothing_while_closed() -> TestResult {
    let regions = Regions::begin(&json!({"only_if": {"header": "x-data-region", "in": ["eu"]}}))?;
    for value in ["1", "0", "yes"] {
        let reply = regions.call().header(FALLBACK, value).header("x-data-region", "eu").send()?;
        assert_eq!(reply.served_by(), Some("first"), "{value:?}");
    }
    let shouted =
        b"GET / HTTP/1.1\r\nhost: x\r\nX-Holdfast-FALLBACK: 1\r\nx-holdfast-fallback: 1\r\nconnection: close\r\n\r\n";
    assert_eq!(client::raw(regions.edge, shouted, SOON)?.served_by(), Some("first"));
    assert_eq!((regions.first.hits(), regions.second.hits()), (4, 0));
    let seen = regions.first.seen();
    let leaked: Vec<_> = seen.iter().filter_map(|seen| seen.headers.get(FALLBACK)).collect();
    assert!(leaked.is_empty(), "the service saw it: {leaked:?}");
    Ok(())
}

#[test]
fn who_sends_our_header_himself_gains_nothing_while_open() -> TestResult {
    let regions = Regions::begin(&json!({"only_if": {"header": "x-data-region", "in": ["eu"]}}))?;
    regions.first_fails()?;
    let spoofed = regions.call().fresh_connection().header(FALLBACK, "1");

    let refused = Storm::new(spoofed.clone()).concurrency(8).total(40).run(SOON)?;
    assert_eq!(refused.rejected(), 40, "{:?}", refused.by_upstream());
    let listed = spoofed.header("x-data-region", "eu").send()?;
    assert_ne!(listed.served_by(), Some("first"), "a sick region was asked");
    assert_eq!(regions.first.hits(), 0);
    Ok(())
}

#[test]
fn spoofed_calls_never_probe() -> TestResult {
    let open = json!({"base": "200ms", "max": "200ms", "jitter": 0});
    let reroute = json!({"only_if": {"header": "x-data-region", "in": ["eu"]}});
    let regions = Regions::with(json!({"open": open, "on_open": {"reroute": reroute}}))?;
    regions.first_fails()?;
    // A probe may have been on its way when the counts were reset.
    eventually_eq("nothing is in flight", SOON, &0, || Ok::<_, String>(regions.first.in_flight()))?;
    let before = (regions.first.hits(), regions.second.hits());
    let spoofed =
        Storm::new(regions.call().header(FALLBACK, "1")).concurrency(8).total(100).per_second(100.0).run(SOON)?;
    assert_eq!(spoofed.rejected(), 100, "{:?}", spoofed.by_upstream());
    assert_eq!((regions.first.hits(), regions.second.hits()), before);
    Ok(())
}

#[test]
fn a_header_and_a_value_of_ones_own() -> TestResult {
    let (first, second) = (Upstream::start("first")?, Upstream::start("second")?);
    let routes =
        [config::when_header(config::route("spare", "second"), "x-region", "west"), config::route("all", "first")];
    let filter = breaker(json!({"on_open": {
        "reply": {"status": 429},
        "reroute": {"header": "x-region", "value": "west", "only_if": {"header": "x-movable", "in": ["yes"]}},
    }}))?;
    let listener = config::listener("edge", &[filter.filter()], &routes);
    let clusters = [config::cluster("first", &[first.port()]), config::cluster("second", &[second.port()])];
    let envoy = Envoy::start(&config::bootstrap(&[listener], &clusters))?;
    let call = Call::get(envoy.port("edge")?, "/");
    first.set(Fault::Refuse);
    fail_until_rejected(&call)?;
    assert_eq!(call.send()?.status, 429);
    assert_eq!(call.header("x-movable", "yes").send()?.served_by(), Some("second"));
    Ok(())
}

//! The harness's files under watch (ECDS, LDS, EDS) against plain Envoy.

use std::time::Duration;

use integration::client::{self, Sse};
use integration::{Call, DynamicFilter, Envoy, TestResult, Upstream, XdsFile, config};
use integration::{eventually, eventually_eq, throughout};

const SOON: Duration = Duration::from_secs(5);

fn mutation(value: &str) -> serde_json::Value {
    config::header_mutation("x-version", value)["typed_config"].clone()
}

#[test]
fn a_filter_pushed_by_file_serves_the_next_request_and_a_bad_one_is_refused() -> TestResult {
    let orders = Upstream::start("orders")?;
    let version = DynamicFilter::new("version", &mutation("1"))?;
    let config = config::bootstrap(
        &[config::listener("edge", &[version.filter()], &[config::route("all", "up")])],
        &[config::cluster("up", &[orders.port()])],
    );
    let envoy = Envoy::start(&config)?;
    let edge = envoy.port("edge")?;
    let served = || client::get(edge, "/", &[]).map(|reply| reply.header("x-version").map(str::to_owned));
    assert_eq!(served()?.as_deref(), Some("1"));

    let stream = Sse::open(edge, "/sse?events=20&every_ms=20")?;
    version.update(&mutation("2"))?;
    eventually_eq("the new one serves", SOON, &Some("2".into()), served)?;
    assert_eq!(stream.finish(SOON)?.events.len(), 20);

    // An unknown field would be passed over: Envoy rejects those in static configuration only.
    version.update(&config::header_mutation("", "3")["typed_config"])?;
    throughout("the old one stays", Duration::from_millis(300), || {
        served().map(|version| version.as_deref() == Some("2"))
    })
}

#[test]
fn an_upstream_filter_by_file_and_listeners_by_file_are_pushed_too() -> TestResult {
    let orders = Upstream::start("orders")?;
    let version = DynamicFilter::new("version", &mutation("up-1"))?;
    let listener = |body: &str| {
        config::xds::typed(config::xds::LISTENER, {
            let routes = [config::direct("hi", "/hi", 200, body), config::unnamed(config::route("all", "up"))];
            config::listener("dynamic", &[], &routes)
        })
    };
    let listeners = XdsFile::new(&[listener("one")])?;
    let cluster = config::upstream_filters(config::cluster("up", &[orders.port()]), &[version.filter()]);
    let envoy = Envoy::start(&config::with_lds(config::bootstrap(&[], &[cluster]), &listeners))?;
    let get = |path: &str| Call::get(envoy.port("dynamic")?, path).fresh_connection().send();

    assert_eq!((get("/hi")?.text().as_str(), get("/")?.header("x-version")), ("one", Some("up-1")));
    version.update(&mutation("up-2"))?;
    eventually("the attempt's filter changes", SOON, || {
        get("/").map(|reply| reply.header("x-version") == Some("up-2"))
    })?;
    listeners.update(&[listener("two")])?;
    eventually("the listener changes", SOON, || get("/hi").map(|reply| reply.text() == "two"))
}

#[test]
fn endpoints_by_file_move_the_traffic() -> TestResult {
    let (blue, green) = (Upstream::start("blue")?, Upstream::start("green")?);
    let at = |port| config::xds::typed(config::xds::ENDPOINTS, config::load_assignment("up", &[port]));
    let endpoints = XdsFile::new(&[at(blue.port())])?;
    let config = config::bootstrap(
        &[config::listener("edge", &[], &[config::route("all", "up")])],
        &[config::eds_cluster("up", &endpoints)],
    );
    let envoy = Envoy::start(&config)?;
    let edge = envoy.port("edge")?;
    let served = || client::get(edge, "/", &[]).map(|reply| reply.served_by().map(str::to_owned));
    assert_eq!(served()?.as_deref(), Some("blue"));
    endpoints.update(&[at(green.port())])?;
    eventually_eq("green serves", SOON, &Some("green".into()), served)
}

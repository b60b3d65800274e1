//! Kong: metrics wait for the first request, and there are none where one would break something.
#![allow(missing_docs)]

use core::time::Duration;
use sdk_shim::cell::MAX_TRIES;
use sdk_shim::config::Faults;
use sdk_shim::entry::{Flow, Plugin};
use sdk_shim::fake::{FakeProxy, Worker};
use sdk_shim::host::{Host, Map, MetricKind};
use sdk_shim::meter::{Counter, Meter, Tallies};

/// Counts ticks and requests, of which it decides by the latter, and the requests of each path as well.
struct Counting {
    meter: Meter,
    ticks: Counter,
    requests: Tallies,
}

impl<H: Host + 'static> Plugin<H> for Counting {
    type Call = ();
    const NAME: &'static str = "counting";

    fn configure(host: &H, _: &[u8]) -> Result<Self, Faults> {
        let meter = Meter::new(host, "counting", "downstream", "default", 100);
        let ticks = meter.counter(host, "ticks_total", &[]);
        let counters = vec![meter.counter(host, "requests_total", &[])];
        let requests = Tallies::new(host, counters, || meter.name("requests", &[]));
        meter.gauge(host, "limit", &[]).set(host, 7);
        Ok(Self { meter, ticks, requests })
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn on_tick(&self, host: &H) {
        self.ticks.add(host);
    }

    fn call(&self) {}

    fn on_request_headers(&self, (): &mut (), host: &H, _: bool) -> Flow {
        self.requests.add(host, 0);
        let path = host.header(Map::RequestHeaders, ":path").unwrap_or_default();
        let what = String::from_utf8_lossy(&path).replace('/', "");
        let kind = if what.starts_with("gauge") { MetricKind::Gauge } else { MetricKind::Counter };
        match kind {
            MetricKind::Gauge => self.meter.gauge(host, &what, &[]).set(host, 1),
            _ => self.meter.counter(host, &what, &[]).add(host),
        }
        Flow::Continue
    }
}

fn kong(file: &str) -> FakeProxy {
    let proxy = FakeProxy::wasmx();
    proxy.set("plugin_name", file);
    proxy
}

fn start(proxy: &FakeProxy) -> Worker<Counting> {
    Worker::start(&proxy.worker(), "{}").unwrap()
}

fn ask(worker: &Worker<Counting>, path: &str) {
    worker.request(&[(":method", "GET"), (":path", path)]).finish();
}

fn shown(proxy: &FakeProxy, what: &str) -> Option<u64> {
    let scope = ";chain=downstream;instance=default";
    proxy.metrics().get(&format!("holdfast_counting_{what}{scope}")).copied()
}

/// What a decision would be based on.
fn requests(worker: &Worker<Counting>) -> u64 {
    worker.plugin().requests.totals::<_, 1>(worker.host()).0[0]
}

fn warnings(worker: &Worker<Counting>) -> Vec<String> {
    let logs = worker.host().logs().into_iter();
    logs.filter(|log| log.level <= log::Level::Warn).map(|log| log.line).collect()
}

#[test]
fn until_a_request_comes_nothing_is_defined_and_nothing_ticks() {
    let proxy = kong("counting");
    let worker = start(&proxy);
    worker.tick();
    assert!(proxy.metrics().is_empty() && !worker.host().call_lines().iter().any(|call| call.contains("plugin_name")));
    ask(&worker, "/pay");
    worker.tick();
    assert_eq!([shown(&proxy, "requests_total"), shown(&proxy, "ticks_total"), shown(&proxy, "pay")], [Some(1); 3]);
    assert_eq!(shown(&proxy, "limit"), Some(7), "what a gauge was set to is shown later");
    let info = |name: &&String| name.starts_with("holdfast_build_info") || name.starts_with("holdfast_config_info");
    assert_eq!(proxy.metrics().keys().filter(info).count(), 2);
    assert!(warnings(&worker).is_empty());
}

#[test]
fn envoy_has_them_at_once_whatever_the_file_is_called() {
    let proxy = FakeProxy::envoy();
    let worker = start(&proxy);
    worker.tick();
    assert_eq!((shown(&proxy, "ticks_total"), shown(&proxy, "limit")), (Some(1), Some(7)));
}

/// The page is Kong's own, and every other filter's metrics are on it too.
#[test]
fn a_file_whose_name_breaks_the_page_has_no_metrics_and_says_so_once_per_worker() {
    for file in ["circuit-breaker", "a b", "fällt", ""] {
        let proxy = kong(file);
        let workers = [start(&proxy), start(&proxy)];
        for worker in &workers {
            (0..3).for_each(|_| ask(worker, "/pay"));
            worker.tick();
            assert!(matches!(warnings(worker).as_slice(), [line] if line.contains("file name")), "{file}");
        }
        assert!(proxy.metrics().is_empty(), "{file}: {:?}", proxy.metrics());
        assert_eq!(workers.map(|worker| requests(&worker)), [6, 6], "what decides is counted by both, for both");
    }
    assert!(warnings(&start_and_ask(&kong("Circuit.breaker_2"))).is_empty());
}

fn start_and_ask(proxy: &FakeProxy) -> Worker<Counting> {
    let worker = start(proxy);
    ask(&worker, "/pay");
    worker
}

#[test]
fn a_kong_without_metrics_has_none_and_one_with_them_has() {
    for (version, has) in [
        ("", false),
        ("3.4.3.12", false),
        ("3.6.1", false),
        ("3.7", false),
        ("3.7.1", false),
        ("3.8.0", true),
        ("3.9.1", true),
        ("3.10.0.1", true),
        ("3.70.0", true),
    ] {
        let proxy = kong("counting");
        proxy.set("kong.version", version);
        let worker = start_and_ask(&proxy);
        assert_eq!((shown(&proxy, "requests_total").is_some(), requests(&worker)), (has, 1), "{version}");
        assert_eq!(warnings(&worker).is_empty(), has, "{version}");
    }
}

/// 256 bytes, with `pw:<file>:` before it.
#[test]
fn a_long_file_name_leaves_less_room_for_names() {
    let name = "holdfast_counting_pay;chain=downstream;instance=default";
    let room = 256 - "pw::".len() - name.len();
    for (file, has) in [(room, true), (room + 1, false)] {
        let proxy = kong(&"f".repeat(file));
        start_and_ask(&proxy);
        assert_eq!(shown(&proxy, "pay").is_some(), has, "{file}");
    }
}

/// A counter and a gauge with the same CRC32: what is right for one kills the filter for the other.
#[test]
fn of_two_names_with_one_checksum_the_second_has_no_metric() {
    let proxy = kong("counting");
    let worker = start(&proxy);
    let [counter, gauge] = COLLISION;
    ask(&worker, counter);
    ask(&worker, gauge);
    ask(&worker, gauge);
    assert_eq!((shown(&proxy, counter), shown(&proxy, gauge)), (Some(1), None));
    assert!(worker.host().traps().is_empty());
}

/// Found by trying; equally long, so that what stands before and behind makes no difference.
const COLLISION: [&str; 2] = ["count1or2qambj", "gaugez0wuzi65d"];

const CELL: &str = "holdfast_counting_requests;chain=downstream;instance=default";

#[test]
fn totals_in_shared_data_outlive_what_goes_wrong() {
    let proxy = kong("counting-at-large");
    let worker = start(&proxy);
    (0..5).for_each(|_| ask(&worker, "/pay"));
    assert_eq!(requests(&worker), 5);
    proxy.fail_shared(true);
    ask(&worker, "/pay");
    assert_eq!(requests(&worker), 5, "unread, it is what it was: a total that goes back empties windows");
    proxy.fail_shared(false);
    proxy.mismatch_next(2);
    ask(&worker, "/pay");
    assert_eq!(requests(&worker), 6, "others that write in between cost another try");
    proxy.evict_shared(CELL);
    assert_eq!(requests(&worker), 0);
    ask(&worker, "/pay");
    assert_eq!(requests(&worker), 1);
    proxy.put_shared(CELL, b"something else's");
    ask(&worker, "/pay");
    assert_eq!(requests(&worker), 1, "another name with the same checksum is left alone");
    assert!(worker.host().traps().is_empty());
}

/// As many writers as a count is tried against, each quicker than it.
#[test]
fn a_count_that_others_kept_from_being_written_comes_with_the_next_one() {
    let proxy = kong("counting-at-large");
    let workers = [start(&proxy), start(&proxy)];
    for worker in &workers {
        ask(worker, "/pay");
    }
    proxy.mismatch_next(u32::try_from(MAX_TRIES).unwrap());
    ask(&workers[0], "/pay");
    assert_eq!(requests(&workers[0]), 2, "not yet: what one worker alone knows is in no window");
    ask(&workers[0], "/pay");
    assert_eq!(workers.each_ref().map(requests), [4, 4]);
    ask(&workers[1], "/pay");
    assert_eq!(requests(&workers[0]), 5, "and once only");
}

#[test]
fn a_second_configuration_in_the_same_worker_counts_in_the_same_metrics() {
    let proxy = kong("counting");
    let host = proxy.worker();
    let [old, new] = [(); 2].map(|()| Worker::<Counting>::start(&host, "{}").unwrap());
    ask(&old, "/pay");
    ask(&new, "/pay");
    assert_eq!(shown(&proxy, "requests_total"), Some(2));
}

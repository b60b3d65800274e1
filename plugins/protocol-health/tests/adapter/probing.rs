//! Probes: one form, whatever the services speak, and one round of calls per worker.

use crate::support::{Plugin, envoy, worker};
use core::time::Duration;
use sdk_shim::fake::{CalloutAnswer, FakeProxy, Headers};
use sdk_shim::host::{CalloutId, Reply};

const DEEP: &str = r#"{"probes": [{"path": "/healthz/deep", "clusters": ["orders", "stock"], "target": "/up"}]}"#;
const CHECK: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/healthz/deep?verbose"), (":authority", "gateway")];
const WELL: &[(&str, &str); 1] = &[(":status", "200")];

fn get(path: &str) -> [(&str, &str); 3] {
    [(":method", "GET"), (":path", path), (":authority", "gateway")]
}

fn text(reply: &Reply) -> (u16, String) {
    (reply.status, String::from_utf8(reply.body.clone()).unwrap())
}

/// The calls under way, by cluster.
fn calls(plugin: &Plugin) -> Vec<(CalloutId, String)> {
    plugin.host().pending_callouts().into_iter().map(|(id, callout)| (id, callout.upstream)).collect()
}

/// Every call under way is answered with this status.
fn answer_all(plugin: &Plugin, status: &str) {
    for (id, _) in calls(plugin) {
        assert!(plugin.answer(id, &[(":status", status)], b""));
    }
}

#[test]
fn healthz_is_this_node_alone() {
    let plugin = worker(&envoy(), "{}");
    assert_eq!(text(&plugin.request(&get("/healthz")).reply().unwrap()), (200, "ok\n".into()));
    assert!(plugin.request(&get("/healthz/deep")).passed());
    assert!(plugin.request(&[(":method", "POST"), (":path", "/healthz")]).passed(), "only a GET or HEAD asks");
    assert!(plugin.stream().with_body().request(&get("/healthz")).passed());
    let head = plugin.request(&[(":method", "HEAD"), (":path", "/healthz"), ("accept", "application/health+json")]);
    assert_eq!(text(&head.reply().unwrap()), (200, r#"{"status":"pass"}"#.into()));
    assert!(worker(&envoy(), r#"{"healthz": null}"#).request(&get("/healthz")).passed());
    assert!(worker(&envoy(), r#"{"healthz": "/live"}"#).request(&get("/live")).reply().is_some());
}

#[test]
fn a_hundred_probers_make_one_call_to_each_cluster() {
    let plugin = worker(&envoy(), DEEP);
    assert_eq!(plugin.tick_period(), None);
    let probers: Vec<_> = (0..100).map(|_| plugin.request(CHECK)).collect();
    assert!(
        probers.iter().all(sdk_shim::fake::InFlight::paused) && plugin.tick_period() == Some(Duration::from_millis(10))
    );
    plugin.tick();
    plugin.tick();
    let under_way = calls(&plugin);
    assert_eq!(under_way.iter().map(|(_, cluster)| cluster.as_str()).collect::<Vec<_>>(), ["orders", "stock"]);
    plugin.answer(under_way[0].0, WELL, b"");
    assert!(probers[0].paused(), "until all have answered");
    plugin.answer(under_way[1].0, WELL, b"");
    assert_eq!(probers.iter().filter(|prober| prober.reply().is_some()).count(), 64, "not too many in one callback");
    plugin.tick();
    assert!(probers.iter().all(|prober| text(&prober.reply().unwrap()) == (200, "ok\n".into())));
    assert_eq!((plugin.tick_period(), plugin.host().sent_callouts().len()), (None, 2));
}

#[test]
fn an_answer_stands_and_is_renewed_while_it_is_given() {
    let proxy = envoy();
    let plugin = worker(&proxy, DEEP);
    let first = plugin.request(CHECK);
    plugin.tick();
    answer_all(&plugin, "200");
    assert_eq!(first.reply().unwrap().status, 200);

    proxy.advance(Duration::from_millis(999));
    assert_eq!(plugin.request(CHECK).reply().unwrap().status, 200);
    plugin.tick();
    assert!(calls(&plugin).is_empty(), "fresh");

    proxy.advance(Duration::from_millis(1));
    assert_eq!(plugin.request(CHECK).reply().unwrap().status, 200);
    plugin.tick();
    assert_eq!(calls(&plugin).len(), 2, "stale");
    answer_all(&plugin, "500");
    assert_eq!(text(&plugin.request(CHECK).reply().unwrap()), (503, "orders: status\nstock: status\n".into()));

    proxy.advance(Duration::from_secs(10));
    assert!(plugin.request(CHECK).paused(), "nothing stands for ever");
}

#[test]
fn nobody_waits_longer_than_its_time() {
    let proxy = envoy();
    let plugin = worker(&proxy, DEEP);
    let prober = plugin.request(CHECK);
    plugin.tick();
    let under_way = calls(&plugin);
    plugin.answer(under_way[0].0, WELL, b"");
    proxy.advance(Duration::from_secs(1));
    plugin.tick();
    assert_eq!(text(&prober.reply().unwrap()), (503, "orders: timeout\nstock: timeout\n".into()));
    // The host's own word comes a little later.
    plugin.answer_nothing(under_way[1].0);
    assert_eq!(text(&plugin.request(CHECK).reply().unwrap()), (503, "stock: no answer\n".into()));
}

#[test]
fn a_call_that_the_host_loses_and_a_clock_that_steps_back_end_the_round() {
    let proxy = envoy();
    let plugin = worker(&proxy, DEEP);
    let lost = plugin.request(CHECK);
    plugin.tick();
    proxy.advance(Duration::from_millis(1_020));
    plugin.tick();
    assert!(lost.reply().is_some());
    let back = plugin.request(CHECK);
    assert_eq!(back.reply().unwrap().status, 503, "what was found stands for a while");
    proxy.clock().step_back(Duration::from_secs(3_600));
    let again = plugin.request(CHECK);
    assert!(again.paused());
    plugin.tick();
    assert_eq!(calls(&plugin).len(), 4, "two of the round that is over, two new ones");
}

#[test]
fn a_cluster_that_isnt_there_is_ill_at_once() {
    let proxy = envoy();
    proxy.forget_upstream("orders");
    proxy.forget_upstream("stock");
    let plugin = worker(&proxy, DEEP);
    let prober = plugin.request(CHECK);
    plugin.tick();
    assert_eq!(text(&prober.reply().unwrap()), (503, "orders: no such cluster\nstock: no such cluster\n".into()));
}

#[test]
fn a_prober_that_leaves_takes_nobody_along() {
    let plugin = worker(&envoy(), DEEP);
    let leaves = plugin.request(CHECK);
    let stays = plugin.request(CHECK);
    plugin.tick();
    leaves.abort();
    answer_all(&plugin, "200");
    assert_eq!(stays.reply().unwrap().status, 200);
    assert_eq!(plugin.tick_period(), Some(Duration::from_millis(10)));
    plugin.tick();
    assert_eq!(plugin.tick_period(), None);
}

#[test]
fn each_protocol_is_asked_in_its_own_words() {
    let grpc = CalloutAnswer {
        headers: Headers::from(&[(":status", "200"), ("content-type", "application/grpc")]),
        body: b"\0\0\0\0\x02\x08\x01".to_vec(),
        trailers: Headers::from(&[("grpc-status", "0")]),
    };
    let down = CalloutAnswer {
        headers: Headers::from(&[(":status", "200"), ("grpc-status", "14")]),
        ..CalloutAnswer::default()
    };
    let data = br#"{"data": {"__typename": "Query"}}"#;
    let answered =
        |body: &[u8]| CalloutAnswer { headers: Headers::from(WELL), body: body.to_vec(), ..CalloutAnswer::default() };
    for (protocol, path, answer, status) in [
        ("grpc", "/grpc.health.v1.Health/Check", grpc, 200),
        ("grpc", "/grpc.health.v1.Health/Check", down, 503),
        ("graphql", "/graphql", answered(data), 200),
        ("graphql", "/graphql", answered(br#"{"errors": [{"message": "down"}]}"#), 503),
        ("rest", "/", answered(b"anything"), 200),
    ] {
        let config = format!(
            r#"{{"probes": [{{"path": "/p", "clusters": ["c"], "protocol": "{protocol}", "authority": "shop.internal"}}]}}"#
        );
        let plugin = worker(&envoy(), &config);
        let prober = plugin.request(&get("/p"));
        plugin.tick();
        let (id, callout) = plugin.host().pending_callouts().remove(0);
        let header = |name: &str| callout.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        assert_eq!((header(":path").as_deref(), header(":authority").as_deref()), (Some(path), Some("shop.internal")));
        plugin.answer_as(id, answer);
        assert_eq!(prober.reply().unwrap().status, status, "{protocol}");
    }
}

#[test]
fn in_kong_each_prober_asks_by_itself_and_the_others_profit() {
    let kong = FakeProxy::wasmx();
    let plugin = worker(&kong, &DEEP.replace("orders", "127.0.0.1:8001").replace("stock", "127.0.0.1:8002"));
    let mut prober = plugin.request(CHECK);
    assert!(prober.paused());
    let under_way = calls(&plugin);
    assert_eq!(under_way.len(), 2);
    plugin.answer(under_way[0].0, WELL, b"");
    plugin.answer_nothing(under_way[1].0);
    assert_eq!(text(&prober.reply().unwrap()), (503, "127.0.0.1:8002: no answer\n".into()));
    prober.set("kong.route_id", "x");
    assert_eq!(plugin.request(CHECK).reply().unwrap().status, 503, "kept for a second");
    assert_eq!(plugin.host().sent_callouts().len(), 2);
    assert!(plugin.host().traps().is_empty());
}

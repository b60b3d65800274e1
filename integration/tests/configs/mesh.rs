//! What the files for Istio and Envoy Gateway make of a gateway's configuration, on the real Envoy. Neither of the two runs here: their patches are applied as they document
//! it (Istio: proto merge, with what stands in an `Any` replaced; Envoy Gateway: JSON Patch, a whole resource where the path is empty).

use anyhow::{Context as _, bail, ensure};
use integration::config::{self, from_yaml, patch};
use integration::store::Redis;
use integration::{Call, Envoy, Fault, Ledger, TestResult, Upstream, client, eventually};
use serde_json::{Value, json};

use crate::idempotency::SECRET;
use crate::shipped::{self, Shipped};
use crate::{SOON, is_valid};

pub(crate) const ENVOY_FILTER: &str = "istio-envoyfilter.yaml";
pub(crate) const WASM_PLUGIN: &str = "istio-wasmplugin.yaml";
pub(crate) const ENVOY_GATEWAY: &str = "envoy-gateway-patch.yaml";

/// As Istio calls the cluster of a service's port.
const SERVICE: &str = "outbound|8080||payments.shop.svc.cluster.local";

/// A gateway that sends everything to one service.
fn gateway(listener: &str, service: u16) -> Value {
    let mut cluster = config::cluster(SERVICE, &[service]);
    // What Istio says of a service that speaks HTTP/1.
    cluster["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
    }});
    config::bootstrap(&[config::listener(listener, &[], &[config::route("default", SERVICE)])], &[cluster])
}

/// A shipped file with the built modules, and Redis on this machine, in it.
fn shipped(name: &str, redis: u16) -> TestResult<Value> {
    let mut value = Shipped::part(name, &[(6379, redis)])?;
    on_this_machine(&mut value);
    Ok(value)
}

fn on_this_machine(value: &mut Value) {
    if let Some(address) = value.get_mut("address").filter(|address| address.is_string()) {
        *address = json!("127.0.0.1");
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(on_this_machine),
        Value::Object(fields) => fields.values_mut().for_each(on_this_machine),
        _ => {}
    }
}

fn list<'a>(value: &'a mut Value, pointer: &str) -> TestResult<&'a mut Vec<Value>> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).with_context(|| format!("no list at {pointer}"))
}

// --- as Istio does ---

/// Proto merge: fields into fields, lists get longer.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        // What stands in an Any is bytes to it.
        (into @ Value::Object(_), Value::Object(fields)) if fields.contains_key("@type") => *into = from.clone(),
        (Value::Object(into), Value::Object(fields)) => {
            for (name, value) in fields {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(items)) => into.extend(items.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}

fn apply_istio(config: &mut Value, one: &Value) -> TestResult {
    const FILTERS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    let value = one["patch"]["value"].clone();
    let what = (one["applyTo"].as_str().unwrap_or_default(), one["patch"]["operation"].as_str().unwrap_or_default());
    match what {
        ("HTTP_FILTER", "INSERT_BEFORE") => {
            let wanted = &one["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"];
            let filters = list(config, FILTERS)?;
            let at = filters.iter().position(|filter| filter["name"] == *wanted).context("no such filter")?;
            filters.insert(at, value);
        }
        ("CLUSTER", "ADD") => list(config, "/static_resources/clusters")?.push(value),
        ("LISTENER", "ADD") => list(config, "/static_resources/listeners")?.push(value),
        ("CLUSTER", "MERGE") => {
            let wanted = &one["match"]["cluster"];
            let name = format!("outbound|{}||{}", wanted["portNumber"], wanted["service"].as_str().unwrap_or_default());
            let clusters = list(config, "/static_resources/clusters")?;
            let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == name).context("no such cluster")?;
            merge(cluster, &value);
        }
        ("BOOTSTRAP", "MERGE") => merge(config, &value),
        other => bail!("nobody knows {other:?} here"),
    }
    Ok(())
}

/// What Istio's own bootstrap has, as far as it matters: the extension, and the list of metrics that it keeps.
fn istio(service: u16) -> Value {
    patch(
        gateway("edge", service),
        json!({
            "bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener", "buffer_size_kb": 64}}],
            "stats_config": {
                "use_all_default_tags": false,
                "stats_tags": [{"tag_name": "tag", "regex": "(tag\\.(.+?);\\.)"}],
                "stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "component"}, {"prefix": "istio"}]}},
            },
        }),
    )
}

fn with_envoy_filter(service: u16, redis: u16) -> TestResult<Value> {
    let (mut config, filter) = (istio(service), shipped(ENVOY_FILTER, redis)?);
    for one in filter["spec"]["configPatches"].as_array().context("patches")? {
        apply_istio(&mut config, one)?;
    }
    Ok(config)
}

// --- as Envoy Gateway does ---

fn apply_envoy_gateway(config: &mut Value, one: &Value) -> TestResult {
    let (operation, kind) = (&one["operation"], one["type"].as_str().unwrap_or_default());
    ensure!(operation["op"] == "add", "nobody knows {} here", operation["op"]);
    let kind = kind.rsplit('.').next().unwrap_or_default();
    let all = if kind == "Listener" { "/static_resources/listeners" } else { "/static_resources/clusters" };
    let (all, value) = (list(config, all)?, operation["value"].clone());
    let path = operation["path"].as_str().context("a path")?;
    if path.is_empty() {
        ensure!(value["name"] == one["name"], "a resource has one name");
        all.push(value);
        return Ok(());
    }
    let resource = all.iter_mut().find(|resource| resource["name"] == one["name"]).context("no such resource")?;
    let (parent, index) = path.rsplit_once('/').context("a path")?;
    list(resource, parent)?.insert(index.parse()?, value);
    Ok(())
}

fn with_envoy_gateway(service: u16, redis: u16) -> TestResult<Value> {
    let (mut config, objects) = (gateway("tcp-80", service), shipped(ENVOY_GATEWAY, redis)?);
    // Envoy Gateway's listeners without TLS have all in here.
    let listener = &mut config["static_resources"]["listeners"][0];
    listener["default_filter_chain"] = listener["filter_chains"][0].take();
    listener["filter_chains"] = json!([]);
    let of_kind = |kind: &str| {
        let items = objects["items"].as_array().context("items")?;
        items.iter().find(|object| object["kind"] == kind).map(|object| &object["spec"]).context(kind.to_owned())
    };
    let bootstrap = of_kind("EnvoyProxy")?["bootstrap"]["value"].as_str().context("a bootstrap")?;
    merge(&mut config, &from_yaml(bootstrap)?);
    for one in of_kind("EnvoyPatchPolicy")?["jsonPatches"].as_array().context("patches")? {
        apply_envoy_gateway(&mut config, one)?;
    }
    Ok(config)
}

// --- the stories ---

/// Where a payment that is repeated isn't made again, and Prometheus hears of it with labels.
fn assert_protects(config: &Value, listener: &str, ledger: &Ledger) -> TestResult {
    is_valid(listener, Envoy::options().env(SECRET.0, SECRET.1).validate(config))?;
    let envoy = Envoy::options().env(SECRET.0, SECRET.1).start(config)?;
    let port = envoy.port(listener)?;
    let pay = || {
        Call::post(port, "/payments", b"{\"pay\": \"10 EUR\"}")
            .header("content-type", "application/json")
            .header("idempotency-key", "\"order-1\"")
            .send()
    };
    // Redis is looked for once a second.
    eventually("the store is there", SOON, || Ok::<_, anyhow::Error>(pay()?.status == 201))?;
    let again = pay()?;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(ledger.executions("\"order-1\"").len(), 1);
    eventually("it is counted", SOON, || {
        let page = envoy.prometheus()?;
        let here = [("chain", "downstream")];
        ensure!(page.sum("holdfast_requests_total", &[("outcome", "ok")]) > 0.0, "{:?}", page.names("holdfast"));
        ensure!(page.sum("holdfast_idempotency_replayed_total", &here) > 0.0, "{:?}", page.names("holdfast"));
        Ok::<_, anyhow::Error>(true)
    })?;
    Ok(())
}

#[test]
fn an_istio_gateway_with_the_envoy_filter_makes_a_payment_once() -> TestResult {
    let (ledger, redis) = (Ledger::start()?, Redis::start()?);
    assert_protects(&with_envoy_filter(ledger.port(), redis.port())?, "edge", &ledger)
}

#[test]
fn an_istio_gateway_with_the_envoy_filter_bounds_retries() -> TestResult {
    let (service, redis) = (Upstream::start("service")?, Redis::start()?);
    let mut config = with_envoy_filter(service.port(), redis.port())?;
    let retries = json!({"retry_on": "5xx", "num_retries": 2});
    let route = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes/0/route";
    config.pointer_mut(route).context("a route")?["retry_policy"] = retries;
    let envoy = Envoy::options().env(SECRET.0, SECRET.1).start(&config)?;
    let edge = envoy.port("edge")?;
    service.set(Fault::Status(503));
    for _ in 0..60 {
        assert_eq!(client::get(edge, "/", &[])?.status, 503);
    }
    // A fifth of 60, and the floor's ten; a slot may end in between. Without a budget: 180.
    ensure!((60..=60 + 24).contains(&service.hits()), "{} attempts", service.hits());
    eventually("it is counted", SOON, || {
        let refused = [("chain", "upstream"), ("cause", "budget")];
        Ok::<_, anyhow::Error>(envoy.prometheus()?.sum("holdfast_retry_budget_refused_total", &refused) > 0.0)
    })
}

#[test]
fn an_istio_gateway_with_the_wasm_plugin_tells_what_the_breaker_would_do() -> TestResult {
    let service = Upstream::start("service")?;
    let plugin = from_yaml(&shipped::text(WASM_PLUGIN)?)?;
    let spec = &plugin["spec"];
    let name = &spec["pluginName"];
    // Istio hands the fields on as JSON in a text, and has no flag to set.
    let filter = json!({"name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name, "root_id": name, "failure_policy": spec["failStrategy"],
            "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": config::wasm::modules()?.join("holdfast_suite.wasm")}}},
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": spec["pluginConfig"].to_string()},
        },
    }});
    let mut config = gateway("edge", service.port());
    list(&mut config, "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters")?
        .insert(0, filter);
    let tags = from_yaml(&shipped::text("stats-tags.yaml")?)?;
    let envoy = Envoy::start(&patch(config, tags))?;
    let edge = envoy.port("edge")?;
    assert_eq!(client::get(edge, "/", &[])?.status, 200);
    service.set(Fault::Status(500));
    eventually("it would have refused", SOON, || {
        assert_eq!(client::get(edge, "/", &[])?.status, 500, "nothing is touched");
        Ok::<_, anyhow::Error>(
            envoy.prometheus()?.sum("holdfast_circuit_breaker_would_reject_total", &[("cause", "open")]) > 0.0,
        )
    })
}

#[test]
fn an_envoy_gateway_with_the_patches_makes_a_payment_once() -> TestResult {
    let (ledger, redis) = (Ledger::start()?, Redis::start()?);
    assert_protects(&with_envoy_gateway(ledger.port(), redis.port())?, "tcp-80", &ledger)
}

#[test]
fn the_tags_of_the_patches_are_those_of_the_bootstrap() -> TestResult {
    let shipped_tags = &from_yaml(&shipped::text("stats-tags.yaml")?)?["stats_config"];
    let filter = from_yaml(&shipped::text(ENVOY_FILTER)?)?;
    let patches = filter["spec"]["configPatches"].as_array().context("patches")?;
    let bootstrap = patches.iter().find(|one| one["applyTo"] == "BOOTSTRAP").context("a bootstrap")?;
    let objects = from_yaml(&shipped::text(ENVOY_GATEWAY)?)?;
    let proxy = objects["items"][0]["spec"]["bootstrap"]["value"].as_str().context("a bootstrap")?;
    let proxy = from_yaml(proxy)?;
    for stats in [&bootstrap["patch"]["value"]["stats_config"], &proxy["stats_config"]] {
        for part in ["stats_tags", "histogram_bucket_settings"] {
            assert_eq!(stats[part], shipped_tags[part]);
        }
    }
    Ok(())
}

//! One fault each, put into what we ship: the code, and the place of the fault, which `§` marks.

use crate::run::{answer, folder, repository, told};
use std::path::Path;

/// A fault: the files that are looked at, what is replaced in the first one, and the codes that are told of it, that of the place first.
struct Case {
    files: &'static [&'static str],
    edits: &'static [(&'static str, &'static str)],
    codes: &'static [&'static str],
}

const fn case(
    files: &'static [&'static str],
    edits: &'static [(&'static str, &'static str)],
    codes: &'static [&'static str],
) -> Case {
    Case { files, edits, codes }
}

const MINIMAL: &[&str] = &["envoy-configs/minimal.yaml"];
const ACTIVE: &[&str] = &["envoy-configs/active-active.yaml", "envoy-configs/active-active-holdfast.yaml"];
const BREAKER: &[&str] = &["envoy-configs/active-active-holdfast.yaml", "envoy-configs/active-active.yaml"];
const MEMORY: &[&str] = &["envoy-configs/idempotency-memory.yaml"];
const REDIS: &[&str] = &["envoy-configs/idempotency-redis.yaml", "envoy-configs/idempotency-redis-plugin.yaml"];
const REDIS_PLUGIN: &[&str] = &["envoy-configs/idempotency-redis-plugin.yaml", "envoy-configs/idempotency-redis.yaml"];
const BUDGET: &[&str] = &["envoy-configs/retry-budget.yaml"];
const UPSTREAM: &[&str] = &["envoy-configs/upstream-chain.yaml"];
const HARDENED: &[&str] = &["envoy-configs/hardened.yaml"];
const CONTROL: &[&str] = &["envoy-configs/control.yaml"];
const KONG: &[&str] = &["kong-configs/kong.yml", "kong-configs/kong.conf"];
const CONF: &[&str] = &["kong-configs/kong.conf", "kong-configs/kong.yml"];
const CHAINS: &[&str] = &["kong-configs/filter-chains.yml"];

const OFF: &str = "'{\"mode\": \"dry_run\"}'";

const CASES: &[Case] = &[
    // The operator's entry.
    case(CONTROL, &[("{address: 127.0.0.1, port_value: 9902}", "{address: §0.0.0.0, port_value: 9902}")], &["HF119"]),
    case(
        CONTROL,
        &[(
            "    address: {socket_address: {address: 127.0.0.1, port_value: 9902}}\n",
            "    address: {socket_address: {address: 127.0.0.1, port_value: 9902}}\n    additional_addresses: [{address: {socket_address: {address: §0.0.0.0, port_value: 9903}}}]\n",
        )],
        &["HF119"],
    ),
    case(
        CONTROL,
        &[
            ("\"headers_stop_iteration\": true}'", "\"headers_stop_iteration\": §false}'"),
            ("                allow_on_headers_stop_iteration: true\n", ""),
        ],
        &["HF002"],
    ),
    case(
        CONTROL,
        &[
            ("allow_on_headers_stop_iteration: true", "failure_policy: FAIL_CLOSED"),
            (
                "failure_policy: FAIL_RELOAD\n                reload_config: {backoff: {base_interval: 0.02s}}\n                # An",
                "# An",
            ),
            ("\"headers_stop_iteration\": true}'", "\"headers_stop_iteration\": §true}'"),
        ],
        &["HF101"],
    ),
    case(
        CONTROL,
        &[(
            "{\"env\": \"HOLDFAST_CONTROL_TOKEN\"}",
            "{§\"literal\": \"0123456789abcdef0123456789abcdef\"}, \"insecure_literal\": true",
        )],
        &["HF003"],
    ),
    // What can't be read.
    case(
        MINIMAL,
        &[("admin:\n  address: {", "admin:\n  address: {[{"), ("static_resources:", "§static_resources:")],
        &["HF001"],
    ),
    // The configuration itself, in each way to write it.
    case(MINIMAL, &[(OFF, "'{\"mode\": §\"dryrun\"}'")], &["HF002"]),
    case(MINIMAL, &[(OFF, "\"{\\\"mode\\\": \\§\"dryrun\\\"}\"")], &["HF002"]),
    case(MINIMAL, &[(OFF, "'{\"mode\": \"dry_run\", §\"colour\": 1}'")], &["HF002"]),
    case(MINIMAL, &[(OFF, "'{\"mode\": \"dry_run§\"'")], &["HF002"]),
    case(MINIMAL, &[(OFF, "'{\"mode\": \"dry_run\", \"mode\": \"enforce\"§}'")], &["HF002"]),
    case(MINIMAL, &[(OFF, "{mode: §dryrun}"), ("google.protobuf.StringValue", "google.protobuf.Struct")], &["HF002"]),
    case(BREAKER, &[("\"minimum_calls\": 20", "\"minimum_calls\": §0")], &["HF002"]),
    case(BREAKER, &[("{\"time\": \"5s\"}", "{\"time\": §\"5x\"}")], &["HF002"]),
    case(
        BREAKER,
        &[("{\"time\": \"5s\"}", "{\"calls\": 10}"), ("\"minimum_calls\": 20", "\"minimum_calls\": §20")],
        &["HF002"],
    ),
    case(BREAKER, &[("\"failure_ratio\": 0.5", "\"failure_ratio\": §1.5")], &["HF002"]),
    case(BREAKER, &[("\"in\": [\"any\"]", "\"in\": §[]")], &["HF002"]),
    case(BREAKER, &[("[\"cluster\"]", "[§\"clusters\"]")], &["HF002", "HF002"]),
    case(BREAKER, &[("{\"base\": \"3s\"", "§{\"base\": \"30s\"")], &["HF002"]),
    case(BREAKER, &[("\"metrics\": {}", "\"metrics\": {\"max_series\": §0}")], &["HF002"]),
    case(REDIS_PLUGIN, &[("\"kind\": \"redis\"", "\"kind\": §\"rediss\"")], &["HF002"]),
    case(REDIS_PLUGIN, &[("{\"env\": \"HOLDFAST_SECRET\"}", "§{\"env\": \"ANOTHER_SECRET\"}")], &["HF002"]),
    case(
        REDIS_PLUGIN,
        &[
            ("host_env_keys: [HOLDFAST_SECRET, HOLDFAST_SECRET_NEXT]", "host_env_keys: []"),
            ("{\"env\": \"HOLDFAST_SECRET\"}", "§{\"env\": \"HOLDFAST_SECRET\"}"),
        ],
        &["HF002"],
    ),
    case(REDIS_PLUGIN, &[("\"ttl\": \"24h\"", "\"ttl\": §\"10s\"")], &["HF002"]),
    case(
        REDIS_PLUGIN,
        &[("  \"required\": false,", "  \"required\": false,\n            §\"requird\": true,")],
        &["HF002"],
    ),
    case(BUDGET, &[("\"ratio\": 0.2", "\"ratio\": §2")], &["HF002"]),
    case(KONG, &[("window: {time: 10s}", "window: {time: §10x}")], &["HF002"]),
    case(KONG, &[("accept_reply_before_store: true", "accept_reply_before_store: §false")], &["HF002"]),
    case(
        KONG,
        &[(
            "store: {kind: memory, slots: 4096, max_bytes: 16777216, accept_eviction: true}",
            "store: §{kind: memory, slots: 4096, max_bytes: 16777216}",
        )],
        &["HF002"],
    ),
    case(CHAINS, &[("slow_ratio: 0.8}", "slow_ratio: §8}")], &["HF002"]),
    // Secrets.
    case(
        REDIS_PLUGIN,
        &[
            ("{\"env\": \"HOLDFAST_SECRET\"}", "{§\"literal\": \"0123456789abcdef0123456789abcdef\"}"),
            ("\"paths\"", "\"insecure_literal\": true, \"paths\""),
        ],
        &["HF003"],
    ),
    // Beside it.
    case(
        MEMORY,
        &[
            ("                allow_on_headers_stop_iteration: true\n", ""),
            ("\"headers_stop_iteration\": true", "\"headers_stop_iteration\": §true"),
        ],
        &["HF101"],
    ),
    case(
        MINIMAL,
        &[(
            "                vm_config:",
            "                allow_on_headers_stop_iteration: §true\n                vm_config:",
        )],
        &["HF102"],
    ),
    case(MEMORY, &[("failure_policy: FAIL_RELOAD", "failure_policy: §FAIL_OPEN")], &["HF104"]),
    case(MEMORY, &[("failure_policy: FAIL_RELOAD", "fail_open: §true")], &["HF104"]),
    case(MEMORY, &[("base_interval: 0.02s", "base_interval: §0.001s")], &["HF105"]),
    // The way to the store.
    case(REDIS_PLUGIN, &[("\"cluster\": \"store\"", "\"cluster\": §\"stor\"")], &["HF106"]),
    case(REDIS_PLUGIN, &[("\"cluster\": \"store\"", "\"cluster\": §\"redis\"")], &["HF107"]),
    // Routes.
    case(
        BUDGET,
        &[("retry_on: 5xx,reset,connect-failure,unavailable", "retry_on: §5xx,reset,envoy-ratelimited")],
        &["HF108"],
    ),
    case(
        ACTIVE,
        &[(
            "route: {timeout: 3s, hash_policy: *by_user, cluster: orders-eu}",
            "route: {timeout: 3s, cluster: §orders-eu}",
        )],
        &["HF109"],
    ),
    case(MEMORY, &[("timeout: 15s", "timeout: §45s")], &["HF110"]),
    case(MEMORY, &[("timeout: 15s", "timeout: §0s")], &["HF110"]),
    case(REDIS, &[("timeout: 15s", "timeout: §30s")], &["HF110"]),
    case(
        MEMORY,
        &[
            ("                  timeout: 15s  # shorter than the plugin's lease (30s)\n", ""),
            ("\"ttl\": \"1h\"", "\"lease\": §\"10s\", \"ttl\": \"1h\""),
        ],
        &["HF110"],
    ),
    // Who is taken out.
    case(
        UPSTREAM,
        &[("type: STRICT_DNS", "type: STATIC"), ("max_ejection_percent: 50", "max_ejection_percent: §40")],
        &["HF111"],
    ),
    case(
        UPSTREAM,
        &[
            ("type: STRICT_DNS", "type: STATIC"),
            (", max_ejection_percent: 50", ""),
            ("outlier_detection:", "§outlier_detection:"),
        ],
        &["HF111"],
    ),
    case(UPSTREAM, &[("max_ejection_percent: 50", "max_ejection_percent: §100")], &["HF112"]),
    // The chain.
    case(HARDENED, &[("\"chain\": \"upstream\"", "\"chain\": §\"downstream\"")], &["HF115"]),
    case(
        BUDGET,
        &[
            ("'{\"chain\": \"upstream\", \"ratio\"", "'{\"ratio\""),
            (
                "code: {local: {filename: /etc/holdfast/retry_budget.wasm}}\n              configuration",
                "code: {local: {filename: §/etc/holdfast/retry_budget.wasm}}\n              configuration",
            ),
        ],
        &["HF115"],
    ),
    case(
        BUDGET,
        &[(
            "                vm_id: holdfast-retry-budget\n                runtime: envoy.wasm.runtime.v8\n                code: {local: {filename: /etc/holdfast/retry_budget.wasm}}\n              conf",
            "                vm_id: §another\n                runtime: envoy.wasm.runtime.v8\n                code: {local: {filename: /etc/holdfast/retry_budget.wasm}}\n              conf",
        )],
        &["HF117"],
    ),
    case(MEMORY, &[("limit_bytes: 1048576", "limit_bytes: §65536")], &["HF116"]),
    // Kong.
    case(KONG, &[("'x-audit-id: $(headers[\"x-request-id\"])'", "§'x-audit-id: $(headers.x-request-id)'")], &["HF201"]),
    case(
        KONG,
        &[("'x-audit-id: $(headers[\"x-request-id\"])'", "§'idempotency-key: $(headers[\"x-request-id\"])'")],
        &["HF202"],
    ),
    case(KONG, &[("- name: retry_budget", "- name: §retry-budget")], &["HF203"]),
    case(
        CONF,
        &[("nginx_http_client_body_buffer_size = 128k", "§nginx_http_client_body_buffer_size = 16k")],
        &["HF204"],
    ),
    case(CONF, &[("wasm = on", "§wasm = off")], &["HF208"]),
    case(
        CONF,
        &[("wasm = on", "wasm = on\n§nginx_proxy_proxy_next_upstream = error timeout non_idempotent")],
        &["HF209"],
    ),
    case(KONG, &[("- name: correlation-id\n", "- name: §aws-lambda\n")], &["HF207"]),
    case(
        KONG,
        &[(
            "- name: correlation-id\n",
            "- name: pre-function\n    config: {access: [§kong.service.request.enable_buffering()]}\n  - name: correlation-id\n",
        )],
        &["HF207"],
    ),
    case(KONG, &[("plugins:\n- name: prometheus", "plugins:\n- name: §metrics\n- name: prometheus")], &["HF210"]),
    case(KONG, &[("required: true", "required: true\n        tenant: §[]")], &["HF002"]),
    case(
        CONF,
        &[("# What Kong needs", "§# What Kong needs"), ("nginx_wasm_shm_kv = 64m", "# nginx_wasm_shm_kv = 64m")],
        &["HF205"],
    ),
    case(
        KONG,
        &[(
            "  retries: 0\n  connect_timeout: 1000\n  write_timeout: 5000\n  read_timeout: 5000",
            "  retries: 0\n  read_timeout: §60000",
        )],
        &["HF110"],
    ),
    case(
        KONG,
        &[
            ("  retries: 0\n", "  retries: §3\n"),
            ("paths: [/payments]\n        header", "methods: [PUT, POST]\n        header"),
        ],
        &["HF206"],
    ),
];

/// Files of kinds that we don't ship, whole.
const WRITTEN: &[(&str, &str, &str)] = &[
    (
        "split-chains.yml",
        "_format_version: '3.0'
services:
- name: orders
  url: http://orders.internal
  routes: [{name: pay, paths: [/pay]}]
filter_chains:
- service: orders
  filters: [{name: circuit_breaker}]
- route: pay
  filters: [{name: §metrics}]
",
        "HF114",
    ),
    (
        "twice.yml",
        "_format_version: '3.0'
services:
- {name: orders, url: 'http://orders.internal', connect_timeout: 100, read_timeout: 3000, write_timeout: 3000}
routes:
- {name: pay, paths: [/pay], service: orders}
filter_chains:
- service: {name: orders}
  filters: [{name: idempotency, config: &i {store: {kind: memory, accept_eviction: true}, accept_reply_before_store: true}}]
- route: pay
  filters: [{name: §idempotency, config: *i}]
",
        "HF211",
    ),
    (
        "tries.yml",
        "_format_version: '3.0'
services:
- url: http://orders.internal
  retries: 10
  connect_timeout: 3000
  write_timeout: 1000
  read_timeout: §1000
  plugins: [{name: idempotency, config: {store: {kind: memory, accept_eviction: true}, accept_reply_before_store: true}}]
",
        "HF110",
    ),

    (
        "wasm-plugin.yaml",
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: circuit-breaker, namespace: istio-ingress}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  url: oci://registry.example/holdfast/circuit-breaker:0.1.0
  pluginConfig:
    failure_ratio: §5
",
        "HF002",
    ),
    (
        "wasm-plugin-flag.yaml",
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: idempotency}
spec:
  url: oci://registry.example/holdfast/idempotency:0.1.0
  vmConfig: {env: [{name: HOLDFAST_SECRET, valueFrom: HOST}]}
  pluginConfig:
    headers_stop_iteration: §true
    store: {kind: redis, cluster: store}
    secret: [{env: HOLDFAST_SECRET}]
",
        "HF103",
    ),
    (
        "wasm-plugin-env.yaml",
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: retry-budget}
spec:
  url: oci://registry.example/holdfast/retry-budget:0.1.0
  vmConfig: {env: [{name: OTHER, valueFrom: HOST}]}
  pluginConfig: {debug_token: §{env: TOKEN}}
",
        "HF002",
    ),
    (
        "extension-policy.yaml",
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: {name: breaker}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  wasm:
  - name: breaker
    code: {type: Image, image: {url: registry.example/holdfast/circuit-breaker:0.1.0}}
    config: {§minimum_cals: 5}
",
        "HF002",
    ),
    (
        "envoy-filter.yaml",
        "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: breaker, namespace: istio-ingress}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: GATEWAY}
    patch:
      operation: INSERT_BEFORE
      value:
        name: breaker
        typed_config:
          '@type': type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
          value:
            config:
              vm_config:
                runtime: envoy.wasm.runtime.v8
                code: {remote: {http_uri: {uri: 'https://artifacts.example/holdfast/circuit-breaker-0.1.0.wasm', timeout: 10s, cluster: artifacts}, sha256: 00}}
              configuration:
                '@type': type.googleapis.com/google.protobuf.StringValue
                value: |
                  {\"consecutive_failures\": §-1}
",
        "HF002",
    ),
    (
        "patch-policy.yaml",
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyPatchPolicy
metadata: {name: budget}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: eg}
  type: JSONPatch
  jsonPatches:
  - type: type.googleapis.com/envoy.config.listener.v3.Listener
    name: default/eg/http
    operation:
      op: add
      path: /default_filter_chain/filters/0/typed_config/http_filters/0
      value:
        name: budget
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
          config:
            vm_config: {runtime: envoy.wasm.runtime.v8, code: {local: {filename: /etc/holdfast/retry_budget.wasm}}}
            configuration:
              '@type': type.googleapis.com/google.protobuf.Struct
              value: {ttl: 10s, ratio: §'20%'}
",
        "HF002",
    ),
    (
        "order.yaml",
        "stat_prefix: edge
http_filters:
- name: breaker
  typed_config: {config: {vm_config: {code: {local: {filename: /etc/holdfast/circuit_breaker.wasm}}}}}
- name: metrics
  typed_config: {config: {vm_config: {code: {local: {filename: §/etc/holdfast/metrics.wasm}}}}}
",
        "HF114",
    ),
    (
        "chains.yml",
        "_format_version: '3.0'
services:
- name: orders
  url: http://orders.internal
filter_chains:
- service: orders
  filters:
  - name: circuit_breaker
  - name: §metrics
",
        "HF114",
    ),
    (
        "regions.yaml",
        "static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          stat_prefix: edge
          http_filters:
          - name: breaker
            typed_config: {config: {vm_config: {code: {local: {filename: /etc/holdfast/circuit_breaker.wasm}}}}}
  clusters:
  - name: orders
    type: STATIC
    outlier_detection: {max_ejection_percent: §30}
    load_assignment:
      cluster_name: orders
      endpoints:
      - locality: {region: eu}
        lb_endpoints: [{endpoint: {address: {socket_address: {address: 192.0.2.1, port_value: 80}}}}, {endpoint: {address: {socket_address: {address: 192.0.2.2, port_value: 80}}}}]
      - locality: {region: us}
        lb_endpoints: [{endpoint: {address: {socket_address: {address: 192.0.2.3, port_value: 80}}}}, {endpoint: {address: {socket_address: {address: 192.0.2.4, port_value: 80}}}}]
",
        "HF113",
    ),
];

/// A text without its mark, and where that was: `line:column`.
fn unmarked(text: &str) -> (String, Option<String>) {
    let Some((before, after)) = text.split_once('§') else { return (text.to_owned(), None) };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (format!("{before}{after}"), Some(format!("{line}:{column}")))
}

/// Writes the files with the fault in the first one: their names, and `file:line:column` of the fault.
fn break_files(case: &Case, folder: &Path) -> (Vec<String>, String) {
    let mut place = None;
    let mut names = Vec::new();
    for (n, file) in case.files.iter().enumerate() {
        let mut text = std::fs::read_to_string(repository().join(file)).expect("a file");
        let name = Path::new(file).file_name().expect("a name").to_string_lossy().into_owned();
        for (from, to) in case.edits.iter().filter(|_| n == 0) {
            assert!(text.contains(from), "{file} has no {from}");
            text = text.replacen(from, to, 1);
        }
        let (text, marked) = unmarked(&text);
        place = place.or_else(|| marked.map(|place| format!("{name}:{place}")));
        std::fs::write(folder.join(&name), text).expect("a file written");
        names.push(name);
    }
    (names, place.expect("a mark"))
}

#[test]
fn each_fault_is_told_with_its_code_and_its_place() {
    let folder = folder("broken");
    let mut wrong = Vec::new();
    for case in CASES {
        let (names, place) = break_files(case, &folder);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let told = told(&answer(&folder, &[&["check"], names.as_slice()].concat()));
        let codes = case.codes.iter().all(|code| told.iter().any(|one| one.starts_with(code)));
        let expected = format!("{} {place}", case.codes[0]);
        if !told.contains(&expected) || !codes || told.len() != case.codes.len() {
            wrong.push(format!("{:?}: expected {expected} of {:?}, told {told:?}", case.edits, case.codes));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    assert!(CASES.len() >= 40, "{} cases", CASES.len());
}

#[test]
fn plugins_are_found_wherever_a_wasm_filter_can_be() {
    let folder = folder("written");
    for (name, text, code) in WRITTEN {
        let (text, place) = unmarked(text);
        std::fs::write(folder.join(name), text).expect("a file written");
        let expected = format!("{code} {name}:{}", place.expect("a mark"));
        assert_eq!(told(&answer(&folder, &["check", name])), [expected], "{name}");
    }
}

#[test]
fn every_code_has_a_case() {
    let codes = answer(&repository(), &["explain"]);
    let cases = || CASES.iter().map(|case| case.codes[0]).chain(WRITTEN.iter().map(|(_, _, code)| *code));
    // What Envoy says is in another file: it must be asked.
    let elsewhere = |code: &&str| *code != "HF118";
    for code in codes.as_array().expect("codes").iter().filter_map(|one| one["code"].as_str()).filter(elsewhere) {
        assert!(cases().any(|told| told == code), "{code} has none");
    }
}

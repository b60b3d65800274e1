//! A degraded or skewed node is visible: which configuration each plugin runs, after pushes too.

mod metrics;

use anyhow::ensure;
use integration::client::Call;
use integration::config::suite;
use integration::{DynamicFilter, Envoy, TestResult, Upstream, client, config, eventually};
use metrics::{SOON, down, listener, tagged};
use sdk_shim::identity::config_hash;
use serde_json::{Value, json};

const A: &str = r#"{"max_series": 1000, "graphql": {"paths": ["/a"]}}"#;
const B: &str = r#"{"max_series": 1001}"#;

struct Node {
    _service: Upstream,
    filter: DynamicFilter,
    envoy: Envoy,
    edge: u16,
}

fn entry(text: &str) -> TestResult<Value> {
    Ok(down(&json!({}))?.config_text(text).typed_config())
}

impl Node {
    fn start() -> TestResult<Self> {
        let service = Upstream::start("service")?;
        let filter = down(&json!({}))?.config_text(A).dynamic()?;
        let bootstrap = config::bootstrap(
            &[listener(&[filter.filter()], &[config::route("all", "service")])],
            &[config::cluster("service", &[service.port()])],
        );
        let envoy = Envoy::options().concurrency(2).start(&tagged(bootstrap)?)?;
        let edge = envoy.port("edge")?;
        Ok(Self { _service: service, filter, envoy, edge })
    }

    fn shows(&self, wanted: &[(&str, f64)]) -> TestResult {
        eventually(&format!("{wanted:?}"), SOON, || {
            client::get(self.edge, "/", &[])?;
            let page = self.envoy.prometheus()?;
            let series: Vec<_> = page.series("holdfast_config_info").cloned().collect();
            ensure!(series.len() == wanted.len(), "{series:?}");
            for (config, value) in wanted {
                let hash = config_hash(config.as_bytes()).unwrap_or_default();
                let labels = [
                    ("plugin", "metrics"),
                    ("chain", "downstream"),
                    ("holdfast_instance", "default"),
                    ("config", hash.as_str()),
                ];
                let is = page.sum("holdfast_config_info", &labels);
                ensure!((is - value).abs() < 0.1, "{config} is {is}: {series:?}");
            }
            Ok::<_, anyhow::Error>(true)
        })
    }
}

#[test]
fn the_configuration_in_force_is_the_one_that_is_shown() -> TestResult {
    let node = Node::start()?;
    node.shows(&[(A, 1.0)])?;
    node.filter.update(&entry(B)?)?;
    node.shows(&[(A, 0.0), (B, 1.0)])?;
    node.filter.update(&entry(r#"{"max_series": -1}"#)?)?;
    eventually("it is refused", SOON, || Ok::<_, anyhow::Error>(node.envoy.log().contains("$.max_series: found -1")))?;
    node.shows(&[(A, 0.0), (B, 1.0)])?;
    node.filter.update(&entry(A)?)?;
    node.shows(&[(A, 1.0), (B, 0.0)])
}

#[test]
fn how_it_is_written_makes_no_difference() -> TestResult {
    let node = Node::start()?;
    node.shows(&[(A, 1.0)])?;
    node.filter.update(&entry("{ \"graphql\": {\"paths\": [\"/a\"]},\n  \"max_series\": 1e3 }")?)?;
    let mut typed = entry(A)?;
    let of_struct = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": suite::configuration("metrics", &serde_json::from_str(A)?)});
    typed["config"]["configuration"] = of_struct;
    node.shows(&[(A, 1.0)])?;
    node.filter.update(&typed)?;
    eventually("both pushes are taken", SOON, || {
        client::get(node.edge, "/", &[])?;
        Ok::<_, anyhow::Error>(node.envoy.stats("config_reload")?.values().any(|pushes| *pushes >= 3))
    })?;
    node.shows(&[(A, 1.0)])
}

#[test]
fn the_module_says_which_commit_it_is() -> TestResult {
    let node = Node::start()?;
    let page = node.envoy.prometheus()?;
    let info: Vec<_> = page.series("holdfast_build_info").collect();
    ensure!(info.len() == 1 && (info[0].value - 1.0).abs() < 0.1, "{info:?}");
    let git = &info[0].labels["git"];
    ensure!(git == "unknown" || (git.len() >= 7 && git.bytes().all(|byte| byte.is_ascii_hexdigit())), "{git}");
    assert_eq!(info[0].labels["version"], env!("CARGO_PKG_VERSION"));
    let _ = Call::get(node.edge, "/").send()?;
    Ok(())
}

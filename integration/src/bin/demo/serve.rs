//! `--serve`: everything stays up, to be played with.

use std::time::Duration;

use integration::TestResult;
use integration::observability::{Prometheus, Target, repository};

use crate::interrupt;
use crate::side::Side;
use crate::story::Story;

/// Questions worth asking.
const QUESTIONS: [&str; 3] = [
    "sum by (route) (holdfast_attempts_total) / sum by (route) (holdfast_requests_total)",
    "sum by (outcome) (holdfast_requests_total)",
    "holdfast_circuit_breaker_state",
];

/// Prints what to curl, and waits for Ctrl-C.
pub(crate) fn until_interrupted(story: &Story) -> TestResult {
    println!("\nEverything is still up, now without load. Ctrl-C ends it.\n");
    println!("{}", commands(&story.with));
    println!("The same without Holdfast: http://127.0.0.1:{}/orders\n", story.without.edge);
    println!("Prometheus reads {}", story.with.metrics_url());
    // It ends with us.
    let _prometheus = prometheus(story)?;
    while !interrupt::came() && story.with.envoy.is_running() {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("\nEnding what was started.");
    Ok(())
}

/// A Prometheus with our rules that watches the gateway, where one is installed.
fn prometheus(story: &Story) -> TestResult<Option<Prometheus>> {
    if !Prometheus::is_installed() {
        println!("(none is installed: with one on PATH this would start it, with the rules of observability/)\n");
        return Ok(None);
    }
    let target = Target { port: story.with.envoy.admin_port(), path: "/stats/prometheus", region: "demo" };
    let prometheus = Prometheus::start(&[target], &repository().join("observability/rules/holdfast.rules.yaml"))?;
    println!("and one does:    http://127.0.0.1:{}/graph, for example", prometheus.port());
    for question in QUESTIONS {
        println!("                 {question}");
    }
    println!();
    Ok(Some(prometheus))
}

fn commands(side: &Side) -> String {
    let (edge, admin) = (side.edge, side.envoy.admin_port());
    let [first, second] = [side.eu[0].port(), side.eu[1].port()];
    let other = [side.us[0].port(), side.us[1].port()];
    format!(
        "\
a request        curl -i -H 'x-user-id: user-1' -H 'x-data-region: any' http://127.0.0.1:{edge}/orders
one that stays   curl -i -H 'x-user-id: user-1' -H 'x-data-region: eu' http://127.0.0.1:{edge}/orders
let eu fail      for p in {first} {second}; do curl -s \"http://127.0.0.1:$p/control?fault=status:503\"; done
let eu hang      for p in {first} {second}; do curl -s \"http://127.0.0.1:$p/control?fault=hang\"; done
heal eu          for p in {first} {second}; do curl -s \"http://127.0.0.1:$p/control?fault=healthy\"; done
region us        ports {} and {}, the same way; slow:300, fail:50:500 and reset are faults too
load             for i in $(seq 100); do curl -s -o /dev/null -w '%{{http_code}} ' -H \"x-user-id: $i\" -H 'x-data-region: any' http://127.0.0.1:{edge}/orders; done
the breakers     curl -s http://127.0.0.1:{admin}/stats?filter=holdfast
for Prometheus   curl -s http://127.0.0.1:{admin}/stats/prometheus | grep ^holdfast
Envoy's log      tail -f {}
",
        other[0],
        other[1],
        side.envoy.folder().join("envoy.log").display(),
    )
}

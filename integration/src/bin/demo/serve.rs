//! `--serve`: everything stays up, to be played with.

use std::time::Duration;

use crate::interrupt;
use crate::side::Side;
use crate::story::Story;

/// Prints what to curl, and waits for Ctrl-C.
pub(crate) fn until_interrupted(story: &Story) {
    println!("\nEverything is still up, now without load. Ctrl-C ends it.\n");
    println!("{}", commands(&story.with));
    println!("The same without Holdfast: http://127.0.0.1:{}/orders\n", story.without.edge);
    while !interrupt::came() && story.with.envoy.is_running() {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("\nEnding what was started.");
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

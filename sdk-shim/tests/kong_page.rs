//! docs/kong.md says what each host can do, and no capability is left out.
#![allow(missing_docs)]

use sdk_shim::fake::FakeProxy;
use sdk_shim::host::Host;

#[test]
fn the_page_has_each_capability_as_the_code_has_it() {
    let page = include_str!("../../docs/kong.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let [envoy, kong] = [FakeProxy::envoy(), FakeProxy::wasmx()].map(|proxy| proxy.worker().capabilities().named());
    for ((name, on_envoy), (_, in_kong)) in envoy.into_iter().zip(kong) {
        let quoted = format!("`{name}`");
        let row = rows.iter().find(|row| row[0] == quoted).unwrap_or_else(|| panic!("{name} has no row"));
        let is = |cell: &str| cell == "yes" || cell.starts_with("from ");
        assert_eq!((is(row[1]), is(row[2])), (on_envoy, in_kong), "{row:?}");
    }
}

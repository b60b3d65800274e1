//! Claimed requests per second, 256 at a time.
//!
//! The ways take turns, a second and a half each; a round's quotient of two rates is free of what slowed both down. Beside the rates stands what says
//! where the limit is: how busy the proxy's process was (100 % is one worker's fill), and what the store cost.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::clients::{Clients, Storm};
use super::message::{Payload, SMALL};
use super::shuffled;
use super::site::{Site, Spent, Stand, Way};
use crate::Figures;
use crate::args::Args;
use crate::json::estimate;
use crate::measure::progress;
use crate::report::{aligned, interval};
use crate::stats::{Estimate, SplitMix, median};
use crate::table::ratio;
use crate::verdict::{Bound, Verdict};

const WAYS: [Way; 5] = [Way::Bare, Way::Memory, Way::Tunnel(200), Way::Tunnel(400), Way::Webdis];
const CONNECTIONS: u32 = 256;
/// Of a visit, after its ramp.
const TIME: Duration = Duration::from_millis(1_500);
/// Visits of each way before anything is measured.
const WARM_UP: u32 = 2;
/// What the tunnel should carry, in Webdis' rate.
const BOUND: f64 = 1.5;

/// One visit.
#[derive(Clone, Copy, Debug)]
struct Visit {
    /// Requests per second.
    rate: f64,
    /// Microseconds of CPU time per request.
    envoy: f64,
    store: f64,
    /// New connections to Redis per second.
    connections: f64,
}

/// Measures, prints and judges.
pub(crate) fn measure(args: &Args, figures: &mut Figures) -> Result<()> {
    let (site, clients, mut random) = (Site::start(&WAYS, args.workers)?, Clients::new()?, SplitMix(4));
    // A visit is longer than those of the tables are.
    let rounds = args.rounds.div_ceil(2).max(5);
    let mut visits: Vec<Vec<Visit>> = vec![Vec::new(); WAYS.len()];
    for round in 1..=WARM_UP + rounds {
        progress(&format!("throughput: round {round} of {}", WARM_UP + rounds));
        for index in shuffled(WAYS.len(), &mut random) {
            let visit = site.explained(visit(&site, &clients, &site.stands[index]))?;
            if round > WARM_UP {
                visits[index].push(visit);
            }
        }
    }
    progress("");
    tell(args, &visits, figures);
    Ok(())
}

fn visit(site: &Site, clients: &Clients, stand: &Stand) -> Result<Visit> {
    let (begun, opened) = (Instant::now(), site.connections()?);
    let Storm { answers, seconds, looks: (before, after) } =
        clients.storm(stand.port, CONNECTIONS, TIME, &Payload::json(SMALL), || site.spent())?;
    let per_request = |of: fn(Spent) -> Duration| of(after).saturating_sub(of(before)).as_secs_f64() * 1e6 / answers;
    let opened = u32::try_from(site.connections()? - opened)?;
    let whole = begun.elapsed().as_secs_f64();
    site.clear()?;
    Ok(Visit {
        rate: answers / seconds,
        envoy: per_request(|spent| spent.envoy),
        store: per_request(|spent| spent.store),
        connections: f64::from(opened) / whole,
    })
}

fn tell(args: &Args, visits: &[Vec<Visit>], figures: &mut Figures) {
    let rates: Vec<Vec<f64>> = visits.iter().map(|visits| of(visits, |visit| visit.rate)).collect();
    let webdis = WAYS.iter().position(|way| *way == Way::Webdis).map_or(&[][..], |way| &rates[way]);
    let to_webdis: Vec<Estimate> = rates.iter().map(|rates| ratio(rates, webdis)).collect();
    let rows: Vec<_> = (0..WAYS.len()).map(|way| cells(WAYS[way], &visits[way], to_webdis[way])).collect();
    let (rounds, workers) = (webdis.len(), args.workers);
    println!("\n{CONNECTIONS} connections, a key of its own for each request: {rounds} rounds, {workers} worker(s)\n");
    let head = [
        "keys claimed in",
        "requests/s",
        "x Webdis (95 %)",
        "mean ms",
        "Envoy us",
        "Envoy busy",
        "store us",
        "connections/s",
    ];
    print!("{}", aligned(&head, &rows));
    let tunnels = (0..WAYS.len()).filter(|way| matches!(WAYS[*way], Way::Tunnel(_)));
    figures.verdicts.extend(tunnels.map(|way| Verdict {
        promise: format!("{}, requests/s, times Webdis'", WAYS[way].name()),
        unit: "x",
        bound: Bound::AtLeast(BOUND),
        measured: to_webdis[way],
    }));
    let rows: Vec<Value> = (0..WAYS.len()).map(|way| written(WAYS[way], &visits[way], to_webdis[way])).collect();
    figures.tables.push(json!({"title": "throughput", "rows": rows}));
}

fn cells(way: Way, visits: &[Visit], to_webdis: Estimate) -> [String; 8] {
    let middle = |figure: fn(&Visit) -> f64| median(&of(visits, figure));
    [
        way.name(),
        format!("{:.0}", middle(|visit| visit.rate)),
        if way == Way::Webdis { "1.00".into() } else { interval(to_webdis, 2) },
        format!("{:.1}", middle(|visit| f64::from(CONNECTIONS) / visit.rate * 1e3)),
        format!("{:.0}", middle(|visit| visit.envoy)),
        format!("{:.0} %", middle(|visit| visit.envoy * visit.rate / 1e4)),
        format!("{:.0}", middle(|visit| visit.store)),
        format!("{:.0}", middle(|visit| visit.connections)),
    ]
}

fn written(way: Way, visits: &[Visit], to_webdis: Estimate) -> Value {
    json!({
        "name": way.name(),
        "requests_per_second": of(visits, |visit| visit.rate),
        "times_webdis": estimate(to_webdis),
        "envoy_us_per_request": of(visits, |visit| visit.envoy),
        "store_us_per_request": of(visits, |visit| visit.store),
        "connections_per_second": of(visits, |visit| visit.connections),
    })
}

fn of(visits: &[Visit], figure: fn(&Visit) -> f64) -> Vec<f64> {
    visits.iter().map(figure).collect()
}

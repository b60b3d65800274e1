//! The stories that the report tells: the same system, load and accident, once for each budget.

use super::budget::Scheme;
use super::outcome::Outcome;
use super::scenario::Scenario;
use super::world::run;

/// Requests per second and node, in the story of what a floor adds up to.
pub(super) const LOADS: [u32; 4] = [1, 5, 20, 200];
/// And in the story of an outage, besides the load that was asked for.
const LIGHT_LOADS: [u32; 3] = [1, 2, 5];

/// All stories, simulated. Outer lists follow the schemes.
#[derive(Clone, Debug)]
pub struct Study {
    /// The system.
    pub base: Scenario,
    /// The budgets: none, Envoy's, ours, and ours without its floor.
    pub schemes: Vec<Scheme>,
    /// Everything fails, behind 1, 2, … layers.
    pub storms: Vec<Vec<Outcome>>,
    /// Everything fails behind one layer, of more and less busy nodes.
    pub floors: Vec<Vec<Outcome>>,
    /// One attempt in ten fails.
    pub scattered: Vec<Outcome>,
    /// An outage that a service with limits must come back from, at each of [`Study::outage_loads`].
    pub outages: Vec<Vec<Outcome>>,
}

// === impl Study ===

impl Study {
    /// Simulates everything for `base`, whose failure doesn't matter.
    pub fn of(base: Scenario, ours: &Scheme) -> Self {
        let schemes = vec![Scheme::Unlimited, Scheme::Envoy, ours.clone(), ours.without_floor()];
        let scattered = base.clone().one_in_ten_fails();
        Self {
            storms: each(&schemes, &storms(&base)),
            floors: each(&schemes, &LOADS.map(|load| Scenario { layers: 1, load, ..base.clone() }.everything_fails())),
            scattered: schemes.iter().map(|scheme| run(&scattered, scheme)).collect(),
            outages: each(&schemes, &outages(&base)),
            schemes,
            base,
        }
    }

    /// The loads of the outages, lightest first; the last one is the base's own.
    pub fn outage_loads(&self) -> Vec<u32> {
        outage_loads(&self.base)
    }
}

fn each(schemes: &[Scheme], scenarios: &[Scenario]) -> Vec<Vec<Outcome>> {
    let row = |scheme| scenarios.iter().map(|scenario| run(scenario, scheme)).collect();
    schemes.iter().map(row).collect()
}

fn storms(base: &Scenario) -> Vec<Scenario> {
    (1..=base.layers).map(|layers| Scenario { layers, ..base.clone() }.everything_fails()).collect()
}

fn outages(base: &Scenario) -> Vec<Scenario> {
    outage_loads(base).into_iter().map(|load| Scenario { load, ..base.clone() }.outage()).collect()
}

fn outage_loads(base: &Scenario) -> Vec<u32> {
    LIGHT_LOADS.into_iter().filter(|load| *load < base.load).chain([base.load]).collect()
}

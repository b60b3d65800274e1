//! One request's way through the layers, and everybody's.

use core::time::Duration;

use sdk_shim::random::{SplitMix64, below};
use sdk_shim::time::{Instant, nanos};

use super::budget::Scheme;
use super::events::Events;
use super::failure::Service;
use super::layer::{Hop, Layer};
use super::outcome::Outcome;
use super::scenario::Scenario;

/// Something happens.
#[derive(Debug)]
enum Event {
    /// A client sends a request.
    Arrival,
    /// The service answers, well or not.
    Answer(Request, bool),
    /// The innermost layer's back-off is over.
    Retry(Request),
    /// A node's timer fires.
    Tick { layer: usize, node: usize },
}

/// A client's request, and its attempt at each layer that it has come to.
#[derive(Debug)]
struct Request {
    deadline: Instant,
    hops: Vec<Hop>,
}

/// All of it, now.
#[derive(Debug)]
struct World<'a> {
    scenario: &'a Scenario,
    tick_period: Option<Duration>,
    layers: Vec<Layer>,
    service: Service,
    events: Events<Event>,
    now: Instant,
    /// Requests under way.
    open: u64,
    /// Its own, so that every scheme sees the same requests.
    arrivals: SplitMix64,
    chance: SplitMix64,
    outcome: Outcome,
}

/// Simulates `scenario` where the nodes have the budget `scheme`.
pub fn run(scenario: &Scenario, scheme: &Scheme) -> Outcome {
    let mut world = World::new(scenario, scheme);
    world.begin();
    while let Some((now, event)) = world.events.next() {
        world.now = now;
        world.handle(event);
    }
    world.outcome
}

// === impl World ===

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, scheme: &Scheme) -> Self {
        let mut seeds = SplitMix64::new(scenario.seed);
        Self {
            scenario,
            tick_period: scheme.tick_period(),
            layers: (0..scenario.layers).map(|_| Layer::new(scenario.nodes, scheme)).collect(),
            service: Service::new(scenario.failure),
            events: Events::new(),
            now: Instant::default(),
            open: 0,
            arrivals: SplitMix64::new(seeds.draw()),
            chance: SplitMix64::new(seeds.draw()),
            outcome: Outcome::default(),
        }
    }

    /// The first request, and every node's timer, which started when the node did.
    fn begin(&mut self) {
        self.plan_arrival();
        let Some(period) = self.tick_period else { return };
        for layer in 0..self.layers.len() {
            for node in 0..self.scenario.nodes as usize {
                let phase = Duration::from_nanos(below(self.chance.draw(), nanos(period)));
                self.events.plan(self.now.plus(phase), Event::Tick { layer, node });
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Answer(request, true) => self.succeed(&request),
            Event::Answer(request, false) => self.fail(request),
            Event::Retry(request) => self.retry(request),
            Event::Tick { layer, node } => self.tick(layer, node),
        }
    }

    fn is_over(&self) -> bool {
        self.now.since(Instant::default()) >= self.scenario.duration
    }

    /// Gaps are uniform in 0..2 means. Each node sees a random hundredth of them, for which that is as good as Poisson's.
    fn plan_arrival(&mut self) {
        let mean = 1_000_000_000 / u64::from(self.scenario.requests_per_second().max(1));
        let gap = Duration::from_nanos(below(self.arrivals.draw(), 2 * mean + 1));
        self.events.plan(self.now.plus(gap), Event::Arrival);
    }

    fn arrive(&mut self) {
        if self.is_over() {
            return;
        }
        self.plan_arrival();
        self.outcome.at(self.now).requests += 1;
        self.open += 1;
        let hops = Vec::with_capacity(self.layers.len());
        self.descend(Request { deadline: self.now.plus(self.scenario.deadline), hops });
    }

    /// From layer to layer down to the service.
    fn descend(&mut self, mut request: Request) {
        for layer in self.layers.iter_mut().skip(request.hops.len()) {
            request.hops.push(layer.enter(self.chance.draw()));
        }
        self.outcome.at(self.now).attempts += 1;
        let answer = self.service.answer(self.now, &mut self.chance);
        self.events.plan(self.now.plus(answer.after), Event::Answer(request, answer.good));
    }

    fn succeed(&mut self, request: &Request) {
        for (layer, hop) in self.layers.iter_mut().zip(&request.hops) {
            layer.succeed(*hop);
        }
        self.outcome.at(self.now).good += u64::from(self.now <= request.deadline);
        self.open -= 1;
    }

    /// The innermost layer that may retries; a layer that may not passes the failure on to the one before it.
    fn fail(&mut self, mut request: Request) {
        let tries = if self.now < request.deadline { self.scenario.tries } else { 0 };
        while let Some(hop) = request.hops.pop() {
            if self.layers[request.hops.len()].fail(hop, tries) {
                request.hops.push(hop);
                let at = self.now.plus(hop.back_off(&mut self.chance));
                return self.events.plan(at, Event::Retry(request));
            }
        }
        self.open -= 1;
    }

    fn retry(&mut self, mut request: Request) {
        if let Some(hop) = request.hops.pop() {
            let hop = self.layers[request.hops.len()].retry(hop);
            request.hops.push(hop);
        }
        self.descend(request);
    }

    fn tick(&mut self, layer: usize, node: usize) {
        let Some(period) = self.tick_period else { return };
        if self.is_over() && self.open == 0 {
            return;
        }
        self.layers[layer].tick(node);
        self.events.plan(self.now.plus(period), Event::Tick { layer, node });
    }
}

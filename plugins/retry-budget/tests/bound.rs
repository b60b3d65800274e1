//! The promise: retries in a window never exceed `ratio * requests + floor * ttl`. A brute-force log of everything that happened stands beside
//! the accounts of several workers, and is asked after each grant.

use core::time::Duration;
use proptest::prelude::*;
use retry_budget::account::{Account, Answer, cell_name};
use retry_budget::decide::{has_room, keeps, left};
use retry_budget::policy::{Budget, Floor};
use retry_budget::state::{Slots, Window};
use sdk_shim::cell::{CellError, MAX_TRIES};
use sdk_shim::fake::{FakeHost, FakeProxy};
use sdk_shim::host::Host;
use sdk_shim::meter::Meter;
use sdk_shim::ratio::{PPM, Ratio};
use sdk_shim::window::{SLOTS, Totals};

/// Real time, which no clock shows: a period of the timers is a hundred of these.
const PERIOD: u64 = 100;
const TTL: u64 = SLOTS * PERIOD;
/// Requests since the last reset that make the next one one to speak of. Counters that show little can be back where they were before anybody
/// looks; then as little is forgotten.
const BEFORE: u64 = 100;
/// The cell of the counts, where that is where they are.
const COUNTS: &str = "holdfast_retry_budget_counts;chain=upstream;instance=default;key=shop";

fn budget(ppm: u32, floor: u64) -> Budget {
    let second = Duration::from_secs(1);
    Budget { ratio: Ratio::from_ppm(ppm).unwrap(), floor: Floor { count: floor, per: second * 10 }, ttl: second * 10 }
}

/// What may happen.
#[derive(Clone, Debug)]
enum Deed {
    Requests(usize, u64),
    Asks(usize, u64),
    /// Time passes; timers fire.
    Waits(u64),
    /// The clock that the proxy shows jumps, and real time doesn't.
    ClockJumps(i64),
    CountersReset,
    /// Another worker writes first whatever this one does.
    LosesAll(usize),
    /// A worker's VM is gone, and another one comes.
    Reload(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let worker = 0usize..3;
    prop_oneof![
        4 => (worker.clone(), 1u64..12).prop_map(|(worker, count)| Deed::Requests(worker, count)),
        6 => (worker.clone(), 1u64..8).prop_map(|(worker, count)| Deed::Asks(worker, count)),
        6 => (1u64..2 * PERIOD).prop_map(Deed::Waits),
        1 => (2 * TTL..3 * TTL).prop_map(Deed::Waits),
        1 => (-100_000i64..100_000).prop_map(Deed::ClockJumps),
        1 => Just(Deed::CountersReset),
        1 => worker.clone().prop_map(Deed::LosesAll),
        1 => worker.prop_map(Deed::Reload),
    ]
}

/// Three workers, and the log.
struct World {
    proxy: FakeProxy,
    in_cells: bool,
    budget: Budget,
    workers: Vec<(FakeHost, Account)>,
    now: u64,
    requests: Vec<u64>,
    grants: Vec<u64>,
    since_reset: u64,
}

/// A Kong whose file's name leaves no metrics: there the counts are in a cell.
fn hyphenated() -> FakeProxy {
    let proxy = FakeProxy::wasmx();
    proxy.set("plugin_name", "retry-budget");
    proxy
}

fn worker(proxy: &FakeProxy) -> (FakeHost, Account) {
    let host = proxy.worker();
    if !host.capabilities().metrics_at_once {
        host.pretend_request(&[(":path", "/")]);
    }
    let meter = Meter::new(&host, "retry_budget", "upstream", "default", 100);
    let account = Account::open(&host, &meter, "", "shop", cell_name("bound", "shop"));
    account.refresh(&host, host.now(), Duration::ZERO).unwrap();
    (host, account)
}

impl World {
    fn new(budget: Budget, in_cells: bool) -> Self {
        let proxy = if in_cells { hyphenated() } else { FakeProxy::envoy() };
        let workers = (0..3).map(|_| worker(&proxy)).collect();
        let mut world =
            Self { proxy, in_cells, budget, workers, now: 0, requests: Vec::new(), grants: Vec::new(), since_reset: 0 };
        world.request(0, BEFORE);
        world.wait(2 * TTL);
        world
    }

    fn request(&mut self, n: usize, count: u64) {
        let (host, account) = &self.workers[n];
        (0..count).for_each(|_| account.count_request(host));
        self.since_reset += count;
        self.requests.extend((0..count).map(|_| self.now));
    }

    fn ask(&mut self, n: usize) -> bool {
        let (host, account) = &self.workers[n];
        let answer = account.ask(host, &self.budget, host.now(), Duration::from_millis(10)).unwrap();
        let granted = matches!(answer, Answer::Granted(_));
        self.grants.extend(granted.then_some(self.now));
        granted
    }

    /// Each worker's timer has a phase of its own; a ticking clock is the proxy's only one.
    fn wait(&mut self, time: u64) {
        for _ in 0..time {
            self.now += 1;
            self.proxy.advance(Duration::from_millis(10));
            for (n, (host, account)) in self.workers.iter().enumerate() {
                if self.now % PERIOD == 31 * n as u64 {
                    account.tick(host, host.now()).unwrap();
                }
            }
        }
    }

    fn within(&self, log: &[u64]) -> u64 {
        log.iter().filter(|at| **at + TTL > self.now).count() as u64
    }

    fn do_it(&mut self, deed: &Deed) {
        match deed {
            Deed::Requests(worker, count) => self.request(*worker, *count),
            Deed::Waits(time) => self.wait(*time),
            Deed::ClockJumps(millis) => {
                let by = Duration::from_millis(millis.unsigned_abs());
                if *millis < 0 { self.proxy.clock().step_back(by) } else { self.proxy.advance(by) }
            }
            Deed::CountersReset if self.since_reset < BEFORE => {}
            Deed::CountersReset => {
                if self.in_cells {
                    self.proxy.evict_shared(COUNTS);
                } else {
                    self.proxy.reset_counters();
                }
                self.since_reset = 0;
            }
            Deed::LosesAll(n) if self.in_cells => {
                self.proxy.mismatch_next(u32::try_from(MAX_TRIES).unwrap());
                let (host, account) = &self.workers[*n];
                let answer = account.ask(host, &self.budget, host.now(), Duration::from_secs(3_600));
                assert!(matches!(answer, Err(CellError::Contended) | Ok(Answer::Refused)), "{answer:?}");
                self.proxy.mismatch_next(0);
            }
            Deed::LosesAll(_) => {}
            Deed::Reload(n) => self.workers[*n] = worker(&self.proxy),
            Deed::Asks(worker, count) => (0..*count).for_each(|_| _ = self.ask(*worker)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// For every ratio, any interleaving of workers, clock jumps, counter resets and reloads, with counters and with cells.
    #[test]
    fn retries_never_exceed_the_bound_over_any_window(
        ppm in 0..=PPM, floor in 0u64..20, in_cells in any::<bool>(), deeds in prop::collection::vec(deed(), 1..60),
    ) {
        let mut world = World::new(budget(ppm, floor), in_cells);
        for deed in &deeds {
            world.do_it(deed);
            let window = Window { requests: world.within(&world.requests), retries: world.within(&world.grants) };
            // Retries are looked at when they are granted; between grants requests leave the window, and nobody can help that.
            if matches!(deed, Deed::Asks(..)) && world.grants.last() == Some(&world.now) {
                prop_assert!(keeps(&world.budget, &window), "{window:?} under {:?} after {deed:?}", world.budget);
            }
        }
    }

    /// And it isn't kept by refusing everything: where the last twelve slots hold room, there is a grant.
    #[test]
    fn what_there_is_room_for_is_granted(
        ppm in 1..=PPM, floor in 0u64..20, in_cells in any::<bool>(),
        calls in prop::collection::vec((0usize..3, 0u64..30, 1u64..PERIOD), 1..40),
    ) {
        let mut world = World::new(budget(ppm, floor), in_cells);
        for (worker, requests, wait) in calls {
            world.request(worker, requests);
            let recent = |log: &[u64], slots| log.iter().filter(|at| **at + slots * PERIOD > world.now).count() as u64;
            let surely = Window { requests: recent(&world.requests, 9), retries: recent(&world.grants, 12) };
            let must = has_room(&world.budget, &surely);
            let granted = world.ask(worker);
            prop_assert!(granted || !must, "{surely:?} under {:?}", world.budget);
            world.wait(wait);
        }
    }

    /// What is said to be left is what can be had.
    #[test]
    fn left_is_what_can_be_had(ppm in 0..=PPM, floor in 0u64..20, requests in 0u64..10_000, retries in 0u64..10_000) {
        let budget = budget(ppm, floor);
        let window = Window { requests, retries };
        let left = left(&budget, &window);
        prop_assert_eq!(left > 0, has_room(&budget, &window));
        let all = Window { requests, retries: retries + left };
        prop_assert!(!has_room(&budget, &all));
        prop_assert!(left == 0 || keeps(&budget, &all));
    }

    /// Two workers' questions, cut into their single host calls and shuffled: of the last retry, perhaps neither gets it, but never both.
    #[test]
    fn no_interleaving_of_host_calls_grants_one_too_many(
        ppm in 0..=PPM, requests in 0u64..200, already in 0u64..40, schedule in prop::collection::vec(0usize..4, 0..200),
    ) {
        let budget = budget(ppm, 0);
        let slots = Slots::starting(Totals([0, 0, 0]));
        let mut counters = [requests, 0u64, already.min(left(&budget, &Window { requests, retries: 0 }))];
        let mut granted = counters[2];
        let mut workers = vec![Steps::default(); 4];
        for worker in schedule {
            granted += u64::from(workers[worker].step(&budget, &slots, &mut counters));
            prop_assert!(keeps(&budget, &Window { requests, retries: granted }), "{granted} of {requests} under {ppm}");
        }
    }
}

/// A question, one host call at a time.
#[derive(Clone, Debug, Default)]
struct Steps {
    at: u32,
    seen: [u64; 3],
}

impl Steps {
    /// Gives whether this step granted a retry.
    fn step(&mut self, budget: &Budget, slots: &Slots, counters: &mut [u64; 3]) -> bool {
        let at = self.at;
        self.at += 1;
        match at {
            0..=2 | 4..=6 => self.seen[at as usize % 4] = counters[at as usize % 4],
            3 => {
                if !has_room(budget, &slots.window(Totals(self.seen))) {
                    self.at = 0;
                    return false;
                }
                counters[2] += 1;
            }
            7 if keeps(budget, &slots.window(Totals(self.seen))) => {
                self.at = 0;
                return true;
            }
            _ => {
                counters[1] += 1;
                self.at = 0;
            }
        }
        false
    }
}

#[test]
fn after_an_idle_week_a_question_costs_what_it_always_costs() {
    let proxy = FakeProxy::envoy();
    let (host, account) = worker(&proxy);
    let budget = budget(200_000, 0);
    let ask = || account.ask(&host, &budget, host.now(), Duration::ZERO).unwrap();
    (0..100).for_each(|_| account.count_request(&host));
    assert!(matches!(ask(), Answer::Granted(_)));
    host.clear_calls();
    assert!(matches!(ask(), Answer::Granted(_)));
    let busy = host.calls().len();
    for _ in 0..12 {
        account.tick(&host, host.now()).unwrap();
    }
    proxy.advance(Duration::from_secs(7 * 24 * 3_600));
    account.tick(&host, host.now()).unwrap();
    (0..5).for_each(|_| account.count_request(&host));
    host.clear_calls();
    assert!(matches!(ask(), Answer::Granted(_)), "one of five");
    assert_eq!(host.calls().len(), busy);
    assert_eq!(ask(), Answer::Refused, "and the hundred of last week are forgotten");
}

#[test]
fn a_worker_that_comes_late_sees_the_window_that_all_others_see() {
    let proxy = FakeProxy::envoy();
    let (host, account) = worker(&proxy);
    let budget = budget(500_000, 0);
    (0..10).for_each(|_| account.count_request(&host));
    assert_eq!(
        (0..10).filter(|_| account.ask(&host, &budget, host.now(), Duration::ZERO) == Ok(Answer::Granted(0))).count(),
        5
    );
    let (late, its) = worker(&proxy);
    assert_eq!(its.ask(&late, &budget, late.now(), Duration::ZERO), Ok(Answer::Refused));
}

#[test]
fn nothing_is_granted_for_a_ttl_after_the_counters_were_reset() {
    for in_cells in [false, true] {
        let mut world = World::new(budget(PPM, 5), in_cells);
        world.request(0, 50);
        assert!(world.ask(1));
        world.do_it(&Deed::CountersReset);
        let mut waited = 0;
        while !world.ask(2) {
            world.request(0, 1);
            world.wait(10);
            waited += 10;
        }
        assert!((TTL..TTL + 3 * PERIOD).contains(&waited), "{waited}");
    }
}

/// The worker that began the last slot is gone; the next one begins one when it is sure that a whole period has passed.
#[test]
fn slots_go_on_when_the_worker_that_began_them_is_gone() {
    let mut world = World::new(budget(200_000, 0), false);
    world.request(0, 100);
    let before = world.workers[2].1.slots().number;
    for n in 0..2 {
        world.workers[n] = worker(&FakeProxy::envoy());
    }
    for _ in 0..10 {
        world.request(2, 1);
        world.wait(PERIOD);
    }
    let begun = world.workers[2].1.slots().number - before;
    assert!((8..=10).contains(&begun), "{begun}");
}

//! How much memory Kong must give to filters that are configured so.
//!
//! `WasmX` keeps shared data and metrics in two zones of a fixed size, and bodies in buffers. A zone that is too small evicts (a breaker forgets that it is
//! open, a request runs again) or, for metrics, traps the VM. Nothing tells beforehand. What is computed here is an upper bound: every key and every series that a
//! configuration allows, names as long as they may be.
//!
//! An entry of a zone is 96 bytes (`ngx_wa_shm_kv_node_t`), its name and its value, rounded up to a power of two, or beyond half a page to whole pages
//! (nginx's slab allocator). A counter's value is 8 bytes and 16 per worker process.

use serde_json::Value;

/// Of `ngx_wa_shm_kv_node_t`, in bytes.
const NODE: u64 = 96;
/// Of a page of nginx's.
const PAGE: u64 = 4_096;
/// Longest name of a metric with `pw:<module>:` before it; also `max_metric_name_length` unless that is configured.
const METRIC_NAME: u64 = 256;
/// What names of cells begin with: `holdfast;circuit-breaker;downstream;<instance>;<hash>`.
pub const CELL_PREFIX: u64 = 77;
/// Longest key.
const KEY: u64 = 100;
/// Longest name of a key's cell.
const CELL_NAME: u64 = CELL_PREFIX + 4 + KEY;
/// Longest name of the cell that says which configuration decides about a key.
const CLAIM_NAME: u64 = CELL_PREFIX + 7 + KEY;
/// What that holds.
const CLAIM: u64 = 8;
/// A breaker's state but for its leases.
pub const BREAKER_STATE: u64 = 80;
/// A lease of a probe.
pub const LEASE: u64 = 13;
/// A budget's slots.
pub const BUDGET_SLOTS: u64 = 304;
/// Longest name of a cell of counts: `holdfast_retry_budget_client_counts;chain=downstream;instance=<instance>;key=<key>`.
pub const COUNTS_NAME: u64 = 199;
/// Four numbers as text.
pub const COUNTS: u64 = 83;
/// Records in one cell, and bytes of each.
pub const WAYS: u64 = 32;
/// See [`WAYS`].
const WAY: u64 = 192;
/// Idempotency's other cells: secret, layout, uncertain claims, requests per tenant.
const OTHER_CELLS: u64 = 1 << 20;
/// Bins of a histogram, per worker.
const BINS: u64 = 256;
/// Names and owner of a stored answer, beside the answer.
const ANSWER: u64 = 2 * CELL_NAME + 64;
/// A quarter more than what is needed: pages of one size of entries hold no others.
const ROOM: (u64, u64) = (5, 4);
const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// Series that each key may have, and those that an entry has beside them. By the plugins' own bounds.
pub const BREAKER_SERIES: u64 = 24;
/// See [`BREAKER_SERIES`].
pub const BUDGET_SERIES: u64 = 24;
/// See [`BREAKER_SERIES`].
pub const IDEMPOTENCY_SERIES: u64 = 48;
/// See [`BREAKER_SERIES`].
pub const HEALTH_SERIES: u64 = 256;
/// See [`BREAKER_SERIES`].
const OTHER_SERIES: u64 = 64;

/// What filters need, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Of shared data.
    pub shared: u64,
    /// Of metrics.
    pub metrics: u64,
    /// Of the longest body, of a request or an answer.
    pub body: u64,
}

/// What Kong is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// `nginx_wasm_shm_kv`, in MiB.
    pub shm_kv_mib: u64,
    /// `slab_size` in `metrics {}`, in MiB.
    pub slab_size_mib: u64,
    /// `client_body_buffer_size`, and all of `wasm_response_body_buffers` together, in KiB.
    pub body_kib: u64,
}

// === impl Demand ===

impl Demand {
    /// Of one filter: a module's name without `.wasm`, its configuration, and how many worker processes there are.
    ///
    /// ```
    /// use config_schema::sizing::Demand;
    /// let hundred = Demand::of("circuit_breaker", &serde_json::json!({"max_keys": 100}), 4);
    /// let thousand = Demand::of("circuit_breaker", &serde_json::json!({}), 4);
    /// assert!(thousand.shared > 9 * hundred.shared && thousand.body == 0);
    /// assert_eq!(Demand::of("circuit-breaker", &serde_json::json!({}), 4), Demand { metrics: 0, ..thousand });
    /// ```
    pub fn of(module: &str, config: &Value, workers: u64) -> Self {
        let demand = Self::of_plugin(&module.replace('-', "_"), config, workers);
        // A file with a hyphen in its name defines no metric.
        if module.contains('-') { Self { metrics: 0, ..demand } } else { demand }
    }

    fn of_plugin(module: &str, config: &Value, workers: u64) -> Self {
        let keys = number(config, "max_keys", 1_000) + 1;
        let series = |count: u64| count * metric(workers);
        let registry = entry(CELL_PREFIX + 7, 1 + KEY) * keys;
        // Where there are no metrics: before Kong 3.8 whatever the file is called.
        let counts = entry(COUNTS_NAME, COUNTS) * keys;
        match module {
            "circuit_breaker" => Self {
                shared: registry
                    + counts
                    + keys * entry(CELL_NAME, BREAKER_STATE + LEASE * permits(config))
                    + keys * entry(CLAIM_NAME, CLAIM),
                metrics: series(keys * BREAKER_SERIES + OTHER_SERIES),
                body: 0,
            },
            "retry_budget" => Self {
                shared: registry + counts + keys * entry(CELL_NAME, BUDGET_SLOTS),
                metrics: series(keys * BUDGET_SERIES + OTHER_SERIES),
                body: 0,
            },
            "idempotency" => Self {
                shared: OTHER_CELLS + records(&config["store"]),
                metrics: series(keys * IDEMPOTENCY_SERIES + OTHER_SERIES),
                body: number(config, "max_body", 262_144),
            },
            "protocol_health" => Self { shared: 0, metrics: series(HEALTH_SERIES), body: 0 },
            // Each could be a histogram.
            "metrics" => Self {
                metrics: (number(config, "max_series", 2_000) + OTHER_SERIES) * (metric(workers) + BINS * workers),
                ..Self::default()
            },
            _ => Self::of_suite(config, workers),
        }
    }

    /// Its plugins', each with what stands beside them.
    fn of_suite(config: &Value, workers: u64) -> Self {
        let plugins = ["circuit_breaker", "retry_budget", "idempotency", "protocol_health", "metrics"];
        let of_plugin = |name: &str| {
            let mut own = config.get(name).filter(|own| own.is_object())?.clone();
            if own.get("max_keys").is_none() && config.get("max_keys").is_some() {
                own["max_keys"] = config["max_keys"].clone();
            }
            Some(Self::of_plugin(name, &own, workers))
        };
        plugins.into_iter().filter_map(of_plugin).fold(Self::default(), Self::and)
    }

    /// Of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            shared: self.shared + other.shared,
            metrics: self.metrics + other.metrics,
            body: self.body.max(other.body),
        }
    }

    /// With some room, in round numbers.
    pub fn advice(self) -> Advice {
        let round = |bytes: u64| (bytes * ROOM.0 / ROOM.1).div_ceil(MIB).max(1);
        Advice {
            shm_kv_mib: round(self.shared),
            slab_size_mib: round(self.metrics),
            // One byte more than fits is on disk.
            body_kib: self.body.div_ceil(KIB),
        }
    }
}

/// What is advised for these filters with so many workers, as Markdown.
pub fn markdown(files: &[(&str, Vec<(String, Value)>)]) -> String {
    let mut lines = vec![
        "| filters | workers | `nginx_wasm_shm_kv` | `slab_size` | body buffers |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for (name, filters) in files {
        for workers in [2, 4, 16] {
            let demands = filters.iter().map(|(module, config)| Demand::of(module, config, workers));
            let Advice { shm_kv_mib, slab_size_mib, body_kib } = demands.fold(Demand::default(), Demand::and).advice();
            let body = if body_kib == 0 { "any".to_owned() } else { format!("{body_kib}k") };
            lines.push(format!("| {name} | {workers} | {shm_kv_mib}m | {slab_size_mib}m | {body} |"));
        }
    }
    lines.join("\n") + "\n"
}

fn number(config: &Value, name: &str, default: u64) -> u64 {
    config.get(name).and_then(Value::as_u64).unwrap_or(default)
}

/// Probes under way at one time, in either form.
fn permits(config: &Value) -> u64 {
    number(&config["half_open"], "permits", number(config, "min_half_open_requests", 1))
}

/// Of an entry with this name and value. The value has its name in it, since `WasmX` compares checksums only.
fn entry(name: u64, value: u64) -> u64 {
    slab(NODE + name + 2 + name + value)
}

fn metric(workers: u64) -> u64 {
    slab(NODE + METRIC_NAME + 8 + 16 * workers)
}

/// What nginx's slab allocator takes for so many bytes.
fn slab(bytes: u64) -> u64 {
    if bytes > PAGE / 2 { bytes.next_multiple_of(PAGE) } else { bytes.next_power_of_two() }
}

/// Records of a store in memory; other stores have theirs elsewhere.
fn records(store: &Value) -> u64 {
    if store["kind"] != "memory" {
        return 0;
    }
    let (slots, answers) = (number(store, "slots", 4_096), number(store, "max_bytes", 64 << 20));
    let sets = slots.div_ceil(WAYS);
    // Rounding up at most doubles an entry.
    sets * entry(CELL_NAME, 2 + WAYS * WAY) + 2 * (answers + slots * (NODE + ANSWER))
}

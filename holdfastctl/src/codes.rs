//! Everything that `check` can find: a code, a sentence, and why it matters.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It doesn't work, or it does harm.
    Error,
    /// It works, and not as its author may think.
    Warning,
}

/// One kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// `HF` and three digits: 0 for any proxy, 1 for Envoy, 2 for Kong.
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    /// What is wrong.
    pub(crate) title: &'static str,
    /// Why that matters, and what to do.
    pub(crate) why: &'static str,
}

macro_rules! codes {
    ($($name:ident $id:literal $severity:ident $title:literal $why:literal)*) => {
        $(pub(crate) static $name: Code = Code { id: $id, severity: Severity::$severity, title: $title, why: $why };)*
        /// All of them, by number.
        pub(crate) static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    UNREADABLE "HF001" Error "The file is neither YAML nor JSON."
        "Nothing else was looked for in it."
    CONFIGURATION "HF002" Error "The plugin refuses this configuration."
        "Found by the plugin's own code. Envoy doesn't start with it, or rejects the push and goes on with the former one. In Kong the workers exit and clients hang, so it must not get there."
    LITERAL "HF003" Warning "A secret stands in the configuration."
        "Envoy's /config_dump shows it, and so does whatever keeps the file. In Envoy let the environment have it: {\"env\": \"NAME\"}, and NAME in vm_config.environment_variables.host_env_keys. In Kong `nginx_main_env = NAME` lets a variable through (docs/hosts.md), or keep such a file out of git."

    FLAG_MISSING "HF101" Error "The plugin counts on `allow_on_headers_stop_iteration`, and Envoy's entry doesn't allow it."
        "`headers_stop_iteration: true` says that Envoy lets a filter read a body while it holds the headers. Without the flag Envoy never shows the body, and every request that is held hangs until it times out. Set `allow_on_headers_stop_iteration: true` beside `vm_config`."
    FLAG_UNUSED "HF102" Warning "Envoy's entry has `allow_on_headers_stop_iteration`, and the plugin isn't told."
        "Filters that pause headers then hold headers only, not the body behind them. The plugin's `headers_stop_iteration: true` says that this is known; without it what needs the flag is refused."
    FLAG_IMPOSSIBLE "HF103" Error "Here Envoy's `allow_on_headers_stop_iteration` can't be set."
        "Istio's WasmPlugin and Envoy Gateway's EnvoyExtensionPolicy have no field for it, so what needs it (idempotency, held answers) hangs. Use an EnvoyFilter or an EnvoyPatchPolicy for that plugin."
    FAIL_OPEN "HF104" Error "Should the module fail, requests pass without it: payments may run twice."
        "A key that isn't claimed protects nobody. Use `failure_policy: FAIL_RELOAD`: the request that met the fault gets a 503, the next one a fresh VM."
    RELOAD "HF105" Error "Envoy crashes with a reload interval below 2 ms."
        "`--mode validate` is content with it, and the first trap under traffic kills the process (seen). Use 0.02s."
    NO_CLUSTER "HF106" Error "There is no such cluster in these files."
        "The filter asks a store by the name of an Envoy cluster. Without that cluster every call fails, and requests with a key are refused."
    NO_TUNNEL "HF107" Error "This cluster leads to no tunnel."
        "A filter speaks HTTP only, so Redis and memcached are reached by an internal listener that makes TCP of it: envoy-configs/idempotency-redis.yaml has it. HTTP that is sent to Redis is an error there."
    RETRIED "HF108" Warning "Refusals are retried here."
        "Ours carry `x-envoy-ratelimited` so that no Envoy tries again; `envoy-ratelimited` in `retry_on` undoes that, and the retry budget with it."
    NO_HASH "HF109" Warning "The cluster wants a hash, and this route gives none."
        "MAGLEV and RING_HASH without `hash_policy` choose at random: users leave their region, and so their session."
    LEASE "HF110" Error "A request may run longer than the lease of its key."
        "When the lease is over and no answer is there, nobody can know whether the service did its work: the key is uncertain, and repeats are refused. The lease must outlast the route's timeout (Envoy's default is 15 s, Kong's 60 s each for connecting, sending and reading)."
    NEVER_EJECTED "HF111" Warning "Outlier detection can never take a host out here."
        "`max_ejection_percent` of so few hosts is less than one. Raise it, or set `always_eject_one_host`."
    ALL_EJECTED "HF112" Warning "Outlier detection may take out every host."
        "With none left Envoy panics and sends to all of them, sick ones too. Half of the hosts at most; a region that fails as a whole is the circuit breaker's."
    REGION_STAYS "HF113" Warning "Outlier detection can't take a whole region out."
        "The cluster has several regions, and `max_ejection_percent` is less than one region's share: of a region that fails some hosts go on being asked."
    ORDER "HF114" Warning "The filters stand in another order than they are made for."
        "Requests pass protocol-health, metrics, idempotency, circuit-breaker, retry-budget; attempts (the upstream chain) metrics, circuit-breaker, retry-budget, protocol-health. In another order a repeat that has an answer is refused by an open breaker, and refusals are counted as the service's."
    CHAIN "HF115" Error "The filter is told that it is in another chain."
        "`chain` says where the entry is: `downstream` in a listener, `upstream` in a cluster's `http_filters`. With the wrong one attempts are counted as requests, or the other way round."
    BUFFER "HF116" Error "Envoy's buffer is smaller than `max_body`."
        "Envoy holds a body for the plugin, and answers 413 (or 500, of an answer) when its buffer is full. `per_connection_buffer_limit_bytes` must be more than `max_body`."
    APART "HF117" Error "The retry budget's two entries share nothing."
        "What attempts spent is counted by the entry in the cluster, and given back and read by the one in the listener. Both need the same `vm_id` (and `instance`, `ttl`, `key`)."
    ENVOY "HF118" Error "Envoy refuses this bootstrap."
        "Said by `envoy --mode validate`, by the Envoy on PATH or that of `--envoy`: another version may say something else. Modules of ours are judged by their own code instead, and files that aren't on this machine are no fault: a note says how far Envoy came. `--no-envoy` asks nobody."
    EXPOSED "HF119" Error "The control entry can be reached from outside."
        "Whoever reaches it and has the token may open and close every breaker. Its listener belongs on 127.0.0.1; from afar there are ssh and `kubectl port-forward`."

    TRANSFORMER "HF201" Error "Kong answers every request here with 500."
        "`$(headers.x-request-id)` is Lua: headers.x minus request minus id. Write `$(headers[\"x-request-id\"])`."
    PER_HOP_KEY "HF202" Warning "This key is new for every request, also for a repeat."
        "A request id is made per request, so no repeat is ever found by it. The key must be the client's own."
    HYPHEN "HF203" Warning "A filter with a hyphen in its name has no metrics in Kong."
        "Kong's Prometheus plugin can't read such a name, and one metric would break its whole page. So the module defines none under that name, and decides by counts in shared data. Call the file, and the filter, by underscores."
    BODY_BUFFER "HF204" Error "Kong's body buffer is smaller than `max_body`."
        "What doesn't fit is on disk, where no filter can read it: requests with a key are refused. nginx_http_client_body_buffer_size must be `max_body` at least; Kong's own default is 8k."
    NO_SHARED "HF205" Error "Kong gives filters no shared data."
        "The first filter that wants some traps its VM. Set nginx_wasm_shm_kv; kong-configs/README.md has sizes."
    KONG_RETRIES "HF206" Warning "Kong tries requests with a key again."
        "nginx sends methods other than POST and PATCH to the next target when one fails, after the service may have done its work. Give the service `retries: 0`."
    BYPASSED "HF207" Error "Requests come to the service, or are answered, before any filter sees them."
        "Where a plugin of the route buffers answers (a phase `response`, kong.service.request.enable_buffering), Kong sends HTTP/1 requests on before filters run; aws-lambda and azure-functions do their work before them, too. No key is claimed and no breaker refuses there."
    WASM_OFF "HF208" Error "Kong doesn't run filters."
        "kong.conf says `wasm` and not `on`: a filter that is configured all the same is an unknown plugin, or is passed over."
    RESENT "HF209" Error "nginx sends payments again."
        "`non_idempotent` in proxy_next_upstream has POST and PATCH sent to the next target after the service may have done its work: they may run twice."
    SCOPE "HF210" Error "Kong takes a filter only on a service or on a route."
        "As a plugin, a filter stands within a service or a route, or names one of them; it can't be global, and has no consumer."
    TWICE "HF211" Error "A key is claimed twice on its way."
        "Kong runs the service's filters and then the route's: the second claim finds the first one's in flight, and refuses every request with a key."
}

/// The code of this id, in whatever case.
pub(crate) fn of(id: &str) -> Option<&'static Code> {
    ALL.iter().find(|code| code.id.eq_ignore_ascii_case(id)).copied()
}

// === impl Severity ===

impl Severity {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

//! The user's command: is this configuration good, and why not; modules in OCI registries; keys of which nobody knows the end.
//!
//! `check` finds Holdfast's plugins in files of Envoy, Istio, Envoy Gateway and Kong, has each configuration judged by the code that runs in the proxy,
//! and looks at what is around it. Nothing is sent anywhere.
//!
//! | to find | look in |
//! |---|---|
//! | where plugins are found in a file | [`find`] |
//! | what is judged by the plugin itself | [`check`] |
//! | what is around it | [`rules`] |
//! | all that can be found, and why it matters | [`codes`] |
//! | what Envoy itself says | [`envoy`] |
//! | where a fault stands | [`document`], [`location`] |
//! | how it is told | [`report`] |
//! | what an outage would have come to | [`simulate`] |
//! | what is in a registry, and how it gets there | [`oci`] |
//! | what gateways do at this moment, and orders for them | [`operate`] |
//! | what nobody knows the end of, and settling it | [`idempotency`] |

mod check;
mod codes;
mod document;
mod entry;
mod envoy;
mod file;
mod find;
mod finding;
mod idempotency;
mod location;
mod modules;
mod oci;
mod operate;
mod report;
mod rules;
mod simulate;

use check::Bare;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use codes::{Code, Severity};
use envoy::Which;
use serde_json::json;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Holdfast's plugins for Envoy and Kong: check their configuration before it is promoted.
///
/// Exit codes: 0 all is well (warnings may be there), 1 `check` found something wrong, a gateway refused, or `idempotency` left a record alone or found
/// none, 2 it couldn't be done: the reason is on stderr.
#[derive(Parser)]
#[command(name = "holdfastctl", version, about, long_about)]
struct Arguments {
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Find Holdfast's plugins in files, and everything that is wrong with their configuration
    ///
    /// Files are looked at together: name a bootstrap and the files that it reads (ECDS, EDS), or kong.yml and kong.conf.
    Check {
        /// Envoy YAML or JSON (bootstrap, xDS), `EnvoyFilter`, `EnvoyPatchPolicy`, `WasmPlugin`, `EnvoyExtensionPolicy`, Kong declarative files, kong.conf
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The files are this plugin's configuration, and nothing else
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// Which proxy will read such a configuration
        #[arg(long, value_enum, default_value = "envoy", requires = "plugin")]
        proxy: Proxy,
        /// Warnings are errors
        #[arg(long)]
        strict: bool,
        /// This Envoy is asked of files that are whole bootstraps (`--mode validate`); without it the one on PATH, if there is one
        #[arg(long, value_name = "PATH")]
        envoy: Option<PathBuf>,
        /// No Envoy is asked
        #[arg(long, conflicts_with = "envoy")]
        no_envoy: bool,
    },
    /// Say why a code that `check` told matters, and what to do; without a code, all of them
    Explain {
        /// Such as HF110
        code: Option<String>,
    },
    /// Print the JSON Schema of a plugin's configuration
    Schema {
        /// Such as `circuit_breaker`
        plugin: String,
        /// Kong takes draft-04 alone, editors like 2020-12
        #[arg(long, value_enum, default_value = "04")]
        draft: Draft,
    },
    /// Show what a circuit breaker and a retry budget would have done in an outage that a file describes
    ///
    /// The plugins' own code decides, in virtual time, with everything enforced; beside it the same outage without them.
    Simulate {
        /// Where they are configured: any file that `check` reads
        #[arg(long)]
        config: PathBuf,
        /// The file is this plugin's configuration, and nothing else
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// The outage: duration, `requests_per_second`, timeout, retries, and a list `service` of from, takes, fails
        #[arg(long)]
        scenario: PathBuf,
        /// Draws a picture into this file
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Upload a module, and its .meta.json beside it, to an OCI registry: one tag for every consumer
    ///
    /// The tag is the module's version, or begins with it, and is never overwritten.
    Push {
        /// Such as registry.example.com/holdfast/circuit-breaker:0.1.0
        reference: String,
        /// Of `cargo xtask build`
        module: PathBuf,
        #[command(flatten)]
        registry: Registry,
    },
    /// Download a module and its .meta.json, checked to the last byte
    Pull {
        /// With a tag, or with @sha256:…
        reference: String,
        /// Where to
        #[arg(long, short, default_value = ".")]
        output: PathBuf,
        #[command(flatten)]
        registry: Registry,
    },
    /// List the versions in a repository
    List {
        /// Such as registry.example.com/holdfast/circuit-breaker
        repository: String,
        #[command(flatten)]
        registry: Registry,
    },
    /// Show what a tag names, and which digest to pin for Envoy, Istio, Envoy Gateway and Kong
    Inspect {
        /// With a tag, or with @sha256:…
        reference: String,
        #[command(flatten)]
        registry: Registry,
    },
    /// Check that every consumer can load a tag, that all load the same module, and that it is the expected one
    Verify {
        /// With a tag, or with @sha256:…
        reference: String,
        /// One of the digests that `inspect` prints: the tag must still be it
        #[arg(long, value_name = "DIGEST")]
        pin: Option<String>,
        /// The module must be this file
        #[arg(long, value_name = "FILE")]
        module: Option<PathBuf>,
        #[command(flatten)]
        registry: Registry,
    },
    /// Show what breakers and budgets do at this moment, in each gateway that is named
    ///
    /// The control entry's token is read from `HOLDFAST_CONTROL_TOKEN`.
    State {
        /// A gateway's control entry; may be named several times
        #[arg(long, value_name = "URL", default_value = CONTROL)]
        control: Vec<String>,
        /// A gateway's Envoy admin, for what the stores of idempotency do; may be named several times
        #[arg(long, value_name = "URL")]
        admin: Vec<String>,
        /// Keys of each instance
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Look again each second
        #[arg(long)]
        watch: bool,
    },
    /// Set a mode for one key, in each gateway that is named, for an hour at most; it ends by itself
    ///
    /// The control entry's token is read from `HOLDFAST_CONTROL_TOKEN`.
    Override {
        /// `circuit-breaker` or `retry-budget`
        plugin: String,
        /// As `state` and metrics show it; `'*'` is every key of the instance
        key: String,
        /// `force_open`, `force_closed` (breaker), `enforce`, `dry_run`, `disabled`; `none` lifts it
        mode: String,
        /// From 1s to 1h, such as 10m; needed for every mode but `none`
        #[arg(long = "for", value_name = "TIME")]
        lasting: Option<String>,
        /// `downstream` or `upstream`; the breaker's is `downstream` and the budget's `upstream` unless something else is said
        #[arg(long)]
        chain: Option<String>,
        /// The instance, if it has a name
        #[arg(long)]
        instance: Option<String>,
        /// A gateway's control entry; may be named several times
        #[arg(long, value_name = "URL", default_value = CONTROL)]
        control: Vec<String>,
    },
    /// Keys of which nobody knows the end: list, show and settle them, in the Redis that the gateways share
    Idempotency {
        #[command(subcommand)]
        verb: idempotency::Verb,
    },
    /// Print a completion script
    Completions {
        /// For this shell
        shell: clap_complete::Shell,
    },
}

/// Where the shipped configuration listens.
const CONTROL: &str = "http://127.0.0.1:9902";

#[derive(Args)]
struct Registry {
    /// The registry speaks HTTP, as one on this machine does
    ///
    /// Who asks is told by `HOLDFAST_REGISTRY_USER` and `HOLDFAST_REGISTRY_PASSWORD`.
    #[arg(long)]
    plain_http: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Proxy {
    Envoy,
    Kong,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Draft {
    #[value(name = "04")]
    Four,
    #[value(name = "2020-12")]
    Modern,
}

/// Ended without an answer: what to tell.
type Refusal = String;

fn main() -> ExitCode {
    let Arguments { json, verb } = Arguments::parse();
    let outcome = match verb {
        Verb::Check { files, plugin, proxy, strict, envoy, no_envoy } => {
            let which = match envoy {
                _ if no_envoy || plugin.is_some() => Which::Nobody,
                Some(program) => Which::This(program),
                None => Which::OnPath,
            };
            check_files(&files, plugin.as_deref(), proxy, &which, strict, json)
        }
        Verb::Explain { code } => explain(code.as_deref(), json),
        Verb::Schema { plugin, draft } => schema(&plugin, draft),
        Verb::Simulate { config, plugin, scenario, svg } => {
            told(run_simulation(&config, plugin.as_deref(), &scenario, svg.as_deref()), json)
        }
        Verb::Push { reference, module, registry } => told(oci::push(&reference, &module, &registry.access()), json),
        Verb::Pull { reference, output, registry } => told(oci::pull(&reference, &output, &registry.access()), json),
        Verb::List { repository, registry } => told(oci::list(&repository, &registry.access()), json),
        Verb::Inspect { reference, registry } => told(oci::inspect(&reference, &registry.access()), json),
        Verb::Verify { reference, pin, module, registry } => {
            told(oci::verify(&reference, pin.as_deref(), module.as_deref(), &registry.access()), json)
        }
        Verb::State { control, admin, limit, watch } => operate::state(&control, &admin, limit, watch, json),
        Verb::Override { plugin, key, mode, lasting, chain, instance, control } => {
            let order = operate::Order { plugin, key, mode, lasting, chain, instance };
            operate::give(&control, &order, json)
        }
        Verb::Idempotency { verb } => idempotency::run(verb, json),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "holdfastctl", &mut script);
            say(&String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|refusal| {
        eprintln!("holdfastctl: {refusal}");
        ExitCode::from(2)
    })
}

// === impl Registry ===

impl Registry {
    fn access(&self) -> oci::Access {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        oci::Access {
            plain_http: self.plain_http,
            user: variable("HOLDFAST_REGISTRY_USER"),
            password: variable("HOLDFAST_REGISTRY_PASSWORD"),
        }
    }
}

/// On stdout. Whoever reads no further (`| head`) has what he wanted.
fn say(text: &str) -> Result<(), Refusal> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("stdout: {error}")),
        _ => Ok(()),
    }
}

/// Says what was done.
fn told(answer: Result<oci::Answer, Refusal>, json: bool) -> Result<ExitCode, Refusal> {
    let (value, text) = answer?;
    if json {
        say(&format!("{value:#}\n"))?;
    } else {
        say(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_simulation(
    config: &Path,
    plugin: Option<&str>,
    scenario: &Path,
    svg: Option<&Path>,
) -> Result<oci::Answer, Refusal> {
    let bare = plugin.map(|name| module(name).map(|module| Bare { module, kong: false })).transpose()?;
    let simulated = simulate::simulate(read(config)?, bare, &read(scenario)?)?;
    if let Some(path) = svg {
        std::fs::write(path, simulated.svg).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok((simulated.value, simulated.text))
}

/// A file's name and text.
fn read(path: &Path) -> Result<(String, String), Refusal> {
    let name = path.display().to_string();
    std::fs::read_to_string(path).map(|text| (name.clone(), text)).map_err(|error| format!("{name}: {error}"))
}

fn check_files(
    files: &[PathBuf],
    plugin: Option<&str>,
    proxy: Proxy,
    which: &Which,
    strict: bool,
    json: bool,
) -> Result<ExitCode, Refusal> {
    let bare = plugin.map(|name| module(name).map(|module| Bare { module, kong: proxy == Proxy::Kong })).transpose()?;
    let texts = files.iter().map(|path| read(path));
    let mut outcome = check::check(texts.collect::<Result<_, _>>()?, bare);
    envoy::judge(which, &mut outcome)?;
    if json {
        say(&format!("{:#}\n", report::for_programs(&outcome)))?;
    } else {
        say(&report::for_people(&outcome, std::io::stdout().is_terminal()))?;
    }
    let wrong = report::count(&outcome, Severity::Error) > 0 || (strict && !outcome.findings.is_empty());
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn module(name: &str) -> Result<&'static modules::Module, Refusal> {
    let names = modules::MODULES.each_ref().map(|module| module.name).join(", ");
    modules::named(name).ok_or_else(|| format!("no plugin {name:?}: one of {names}"))
}

fn explain(code: Option<&str>, json: bool) -> Result<ExitCode, Refusal> {
    let told: Vec<&Code> = match code {
        Some(id) => vec![codes::of(id).ok_or_else(|| format!("no code {id:?}; without one, all of them are told"))?],
        None => codes::ALL.to_vec(),
    };
    if json {
        let one = |code: &&Code| json!({"code": code.id, "severity": code.severity.as_str(), "title": code.title, "why": code.why});
        say(&format!("{:#}\n", json!(told.iter().map(one).collect::<Vec<_>>())))?;
    } else {
        let one = |code: &&Code| format!("{} ({}): {}\n{}\n", code.id, code.severity.as_str(), code.title, code.why);
        say(&told.iter().map(one).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn schema(plugin: &str, draft: Draft) -> Result<ExitCode, Refusal> {
    let name = module(plugin)?.name;
    let schemas = config_schema::meta::modules();
    let (_, schema) = schemas.iter().find(|(module, _)| *module == name).ok_or("no schema")?;
    match draft {
        Draft::Four => say(&format!("{schema:#}\n"))?,
        Draft::Modern => say(&format!("{:#}\n", config_schema::dialect::in_2020_12(schema)))?,
    }
    Ok(ExitCode::SUCCESS)
}

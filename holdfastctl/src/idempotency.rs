//! Keys of which nobody knows the end: what there is, what each is, and settling one.
//!
//! An operator's machine speaks to the Redis that the gateways share, with the gateways' own encoder, scripts and seals (crate `idempotency`). Nothing here
//! reads or shows a key, a payload, or an answer.
//!
//! | to find | look in |
//! |---|---|
//! | which Redis, and who asks | `address.rs` |
//! | bytes there and back, with TLS or without | `connection.rs` |
//! | which node of a cluster | `store.rs` |
//! | the lines of the index | `index.rs` |
//! | what a repeat will be told, and how it is sealed | `answer.rs` |
//! | whether a secret is the gateways' | `proof.rs` |
//! | the verbs | `verbs.rs`, `resolve.rs` |
//! | how a record is shown | `view.rs` |

mod address;
mod answer;
mod connection;
mod index;
mod proof;
mod resolve;
mod store;
mod verbs;
mod view;

use address::Address;
use clap::{Args, Subcommand, ValueEnum};
use sdk_shim::json::Value as Json;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use store::Store;

/// The variable that says where the store is.
const STORE: &str = "HOLDFAST_STORE";

/// For programs, for people, and how the command ends.
type Answer = (Value, String, ExitCode);

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the keys of which nobody knows the end, from the store's index
    List {
        /// Those that have ended since, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show the record of one of them
    Show {
        /// As `list` prints it
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Find the record of one request, by its key
    ///
    /// What the gateways call it is made from the key under their secret. Its id is what `resolve` takes: two keys may have one fence.
    Find(Box<Find>),
    /// Settle one of them: its client's next repeat gets the answer, or runs
    ///
    /// Only a run whose end nobody knows is settled, and only the one that was looked at. Exit code 1: it is another one by now, still runs, or has ended;
    /// nothing was changed.
    Resolve(Box<Resolve>),
}

/// Where the store is.
#[derive(Args)]
pub(crate) struct Place {
    /// `redis://[USER:PASSWORD@]HOST:PORT[/DATABASE]`, or `rediss://` with TLS; any node of a Redis Cluster. Without it, the variable `HOLDFAST_STORE` says it,
    /// which no list of processes shows
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// As in the plugin's configuration
    #[arg(long, default_value = "")]
    namespace: String,
    /// For a connection, and for each answer
    #[arg(long, default_value = "5s", value_parser = duration)]
    timeout: Duration,
}

/// A request, by what its record's name is made of.
#[derive(Args)]
pub(crate) struct Request {
    /// The variable with the key, as the client sent it
    #[arg(long, value_name = "NAME", required = false, requires = "path")]
    key_env: String,
    /// The plugin's `header` is another one than `idempotency-key`: a quote is part of the key
    #[arg(long, requires = "key_env")]
    plain: bool,
    /// The request's method
    #[arg(long, default_value = "POST")]
    method: String,
    /// The request's path; a query doesn't matter
    #[arg(long, required = false, requires = "key_env")]
    path: String,
    /// The value of each of the plugin's `tenant` headers, in the order of the configuration
    #[arg(long, value_name = "VALUE")]
    tenant: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Find {
    #[command(flatten)]
    request: Request,
    /// The variable with the gateways' secret. More than one, in the order of the configuration, while a secret is changed
    #[arg(long, value_name = "NAME", required = true)]
    secret_env: Vec<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Resolve {
    /// As `list` prints it
    id: String,
    /// What came of it, as the service's own books say
    #[arg(long = "as", value_enum)]
    end: End,
    /// The run must be this one, as `list` and `show` print it, and `x-holdfast-fence` told the service
    #[arg(long)]
    fence: Option<u64>,
    /// Why, in a line; it is kept with the record, in the clear
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// done, failed: the variable with the gateways' secret. More than one, in the order of the configuration, while a secret is changed
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// done, failed: the request, as for `find`. It proves which secret made the record's name, and must be said where there is more than one
    #[command(flatten)]
    request: Option<Request>,
    /// done, failed: go on with a secret that opens none of the answers in the store, or with more than one, and their order for the only proof
    #[arg(long)]
    trust_secret: bool,
    /// done, failed: what repeats get (200 to 399 for done, 400 to 599 for failed)
    #[arg(long, value_name = "STATUS")]
    status: Option<u16>,
    /// done, failed: a header of the answer
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// done, failed: the answer's body; without it, a document that says that this was settled
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// done, failed: for how long it is kept, at least; the plugin's `ttl`
    #[arg(long, default_value = "24h", value_parser = duration)]
    keep: Duration,
    #[command(flatten)]
    place: Place,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum End {
    /// It was carried out: repeats get an answer that says so
    Done,
    /// It wasn't, and won't be: repeats get a refusal
    Failed,
    /// It wasn't: the next repeat runs
    Release,
}

/// Does what was asked, and says what was done.
pub(crate) fn run(verb: Verb, json: bool) -> Result<ExitCode, String> {
    let (value, text, code) = match verb {
        Verb::List { all, place } => verbs::list(&mut place.open()?, &place.namespace, all)?,
        Verb::Show { id, place } => verbs::show(&mut place.open()?, &place.namespace, &id)?,
        Verb::Find(wish) => verbs::find(&wish)?,
        Verb::Resolve(wish) => resolve::resolve(&wish)?,
    };
    if json {
        println!("{value:#}");
    } else {
        print!("{text}");
    }
    Ok(code)
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = sdk_shim::config::duration(&Json::String(text.to_owned())).filter(|duration| !duration.is_zero());
    read.ok_or_else(|| "a time such as 500ms, 10s, 15m, 24h".to_owned())
}

// === impl Place ===

impl Place {
    fn open(&self) -> Result<Store, String> {
        let of_environment = || std::env::var(STORE).ok().filter(|value| !value.is_empty());
        let text = self.store.clone().or_else(of_environment);
        let text = text.ok_or_else(|| format!("where is the store? Say --store redis://HOST:PORT, or set {STORE}"))?;
        Store::new(Address::parse(&text)?, self.timeout)
    }
}

// === impl End ===

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Release => "release",
        }
    }
}

//! The adapter: what a proxy calls, and nothing that decides.

use crate::answer;
use crate::config::{self, Policy};
use crate::gate::{Asked, No, Question};
use crate::order::{self, Done, Order};
use crate::state::{self, Looks};
use sdk_shim::config::Faults;
use sdk_shim::entry::{Flow, Plugin};
use sdk_shim::host::{Body, Host, Map, Reply};
use sdk_shim::journal::Journal;
use sdk_shim::json::Value;

/// Bytes of an order.
const MOST: usize = 4_096;

/// The plugin.
#[derive(Debug)]
pub struct Control {
    token: Vec<u8>,
    journal: Journal,
    looks: Looks,
}

/// A request.
#[derive(Debug, Default)]
pub enum Call {
    /// Answered, or never seen.
    #[default]
    Over,
    /// An order whose body isn't here yet.
    Waiting,
}

impl<H: Host + 'static> Plugin<H> for Control {
    type Call = Call;

    const NAME: &'static str = "control";

    fn configure(host: &H, bytes: &[u8]) -> Result<Self, Faults> {
        let resolved = |policy: &Policy| policy.token.as_ref().map(|token| token.resolve(host, "$.token"));
        let policy = config::read_on(bytes, |policy| {
            let mut faults = policy.check_host(host.capabilities());
            match resolved(policy) {
                Some(Ok(token)) => faults.append(config::check_token(&token)),
                Some(Err(missing)) => faults.append(missing),
                None => {}
            }
            faults
        })?;
        let token = resolved(&policy).transpose()?.unwrap_or_default();
        Ok(Self {
            token,
            journal: Journal::new("control", "downstream", "default"),
            looks: Looks::at_most(state::MOST),
        })
    }

    fn call(&self) -> Call {
        Call::Over
    }

    fn on_request_headers(&self, call: &mut Call, host: &H, end: bool) -> Flow {
        let header = |name: &str| host.header(Map::RequestHeaders, name).unwrap_or_default();
        let asked = Asked { method: header(":method"), path: header(":path"), authorization: header("authorization") };
        match asked.question(&self.token) {
            Ok(Question::State { limit }) => Flow::Reply(Box::new(self.tell(host, limit))),
            Ok(Question::Override) if !end => {
                *call = Call::Waiting;
                Flow::Pause
            }
            Ok(Question::Override) => Flow::Reply(Box::new(self.obey(host, b""))),
            Err(why) => {
                if why == No::Unauthorized {
                    let fields = [("from", Value::from(source(host)))];
                    self.journal.note(host, log::Level::Warn, "unauthorized", &fields);
                }
                Flow::Reply(Box::new(answer::no(why)))
            }
        }
    }

    fn on_request_body(&self, call: &mut Call, host: &H, _size: usize, end: bool) -> Flow {
        if matches!(call, Call::Over) {
            return Flow::Continue;
        }
        let body = host.body(Body::Request, MOST + 1).unwrap_or_default();
        if body.len() > MOST {
            *call = Call::Over;
            return Flow::Reply(Box::new(answer::too_long()));
        }
        if end { self.judge(call, host, &body) } else { Flow::Pause }
    }

    fn on_request_trailers(&self, call: &mut Call, host: &H) -> Flow {
        let body = host.body(Body::Request, MOST + 1).unwrap_or_default();
        if matches!(call, Call::Over) { Flow::Continue } else { self.judge(call, host, &body) }
    }
}

impl Control {
    fn judge<H: Host>(&self, call: &mut Call, host: &H, body: &[u8]) -> Flow {
        *call = Call::Over;
        Flow::Reply(Box::new(self.obey(host, body)))
    }

    fn tell<H: Host>(&self, host: &H, limit: usize) -> Reply {
        match state::all(host, &self.looks, limit) {
            Ok(all) => answer::json(&all),
            Err(error) => answer::unreadable(&error.to_string()),
        }
    }

    fn obey<H: Host>(&self, host: &H, body: &[u8]) -> Reply {
        let order = match order::read(body) {
            Ok(order) => order,
            Err(faults) => return answer::faults(&faults),
        };
        let now = host.now();
        let done = order.carry_out(host, &self.looks, now);
        self.audit(host, &order, &done);
        answer::done(&order, done, now)
    }

    /// Who ordered what, and what came of it. An order's key and instance are a client's text until something of that name was found.
    fn audit<H: Host>(&self, host: &H, order: &Order, done: &Done) {
        let from = ("from", Value::from(source(host)));
        let (what, keys) = match done {
            Done::Set(keys) => ("override", keys.len()),
            Done::Failed(set, _) => ("override_failed", *set),
            Done::NoInstance(_) | Done::NoKey(_) => {
                return self.journal.note(host, log::Level::Warn, "override_of_nothing", &[from]);
            }
        };
        let (mode, lasting) = order.set.map_or(("none", 0), |(mode, lasting)| (mode.as_str(), lasting.as_secs()));
        let fields = [
            from,
            ("of", Value::from(order.who())),
            ("key", Value::from(order.key.as_str())),
            ("mode", Value::from(mode)),
            ("seconds", Value::from(lasting)),
            ("keys", Value::from(u64::try_from(keys).unwrap_or(u64::MAX))),
        ];
        self.journal.transition(host, what, &fields);
    }
}

/// The address that the proxy sees.
fn source<H: Host>(host: &H) -> String {
    let address = host.property(&["source", "address"]).unwrap_or_default();
    String::from_utf8(address).unwrap_or_default()
}

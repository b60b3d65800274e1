//! Stores of the tests' own. They read the bytes that a proxy would be given, run the protocol's pure functions, and write the bytes that it would give back.

mod memcached;
mod webdis;

pub(crate) use memcached::FakeMemcached;
pub(crate) use webdis::FakeWebdis;

use idempotency::protocol::{self, Answer, Claim, Fingerprint, Owner, Record, Stage, Write};
use idempotency::store::redis::{ABANDON, CLAIM, COMPLETE, Script, cluster::slot_of, index, keeps, pieces, slots};
use sdk_shim::fake::{FakeProxy, Headers};
use sdk_shim::host::Callout;
use std::collections::{BTreeMap, BTreeSet};

/// How a callout is answered.
pub(crate) trait Store {
    fn answer(&mut self, callout: &Callout) -> Vec<u8>;

    fn headers(&self, _: &Callout) -> Headers {
        Headers::from(&[(":status", "200")])
    }

    /// As metrics call it.
    fn label(&self) -> &'static str;
}

/// One command, word by word.
type Command = Vec<Vec<u8>>;

/// A Redis, as far as it is asked. It knows the scripts until it forgets them.
pub(crate) struct FakeRedis {
    clock: FakeProxy,
    records: BTreeMap<String, Record<Vec<u8>>>,
    /// Who gave up, and until when that counts.
    tombstones: BTreeMap<Owner, u64>,
    known: BTreeSet<&'static str>,
    /// What was run, in order: `claim`, `complete`, `abandon`, `read`, `index`, `unindex`, `NOSCRIPT`; not what the store is asked about itself.
    pub(crate) did: Vec<&'static str>,
    /// Its `maxmemory-policy` isn't `noeviction`.
    pub(crate) evicts: bool,
    /// An error in place of each script's reply.
    pub(crate) error: Option<&'static str>,
    /// The node of the cluster that has all slots.
    pub(crate) at: Option<&'static str>,
    /// The node that they are moving to.
    pub(crate) moving_to: Option<&'static str>,
    asking: bool,
    /// Whoever doesn't say it may do nothing.
    pub(crate) password: Option<&'static str>,
    /// Who has said so on this connection, and which database it uses.
    session: (bool, String),
}

impl FakeRedis {
    pub(crate) fn new(clock: &FakeProxy) -> Self {
        let known = scripts().map(|(script, _)| script.sha1).into();
        let (records, tombstones, did) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (evicts, error, at, moving_to, asking) = (false, None, None, None, false);
        let (password, session) = (None, Default::default());
        let clock = clock.clone();
        Self { clock, records, tombstones, known, did, evicts, error, at, moving_to, asking, password, session }
    }

    /// `SCRIPT FLUSH`, or a restart.
    pub(crate) fn forget_scripts(&mut self) {
        self.known.clear();
    }

    /// What is stored, whatever it is called.
    pub(crate) fn records(&self) -> Vec<&Record<Vec<u8>>> {
        self.records.values().collect()
    }

    /// A restart without a copy on the disk.
    pub(crate) fn lose_everything(&mut self) {
        self.records.clear();
        self.tombstones.clear();
    }

    /// Which database the last connection used.
    pub(crate) fn database(&self) -> &str {
        &self.session.1
    }

    /// How often a verb was run.
    pub(crate) fn ran(&self, verb: &str) -> usize {
        self.did.iter().filter(|did| **did == verb).count()
    }

    fn now(&self) -> u64 {
        self.clock.clock().now().as_millis()
    }

    fn run(&mut self, command: &Command, node: Option<&str>) -> Vec<u8> {
        let asking = core::mem::take(&mut self.asking);
        match command[0].as_slice() {
            b"QUIT" => b"+OK\r\n".to_vec(),
            b"ASKING" => {
                self.asking = true;
                b"+OK\r\n".to_vec()
            }
            b"AUTH" => {
                self.session.0 = Some(&*text(command.last().unwrap())) == self.password;
                if self.session.0 {
                    b"+OK\r\n".to_vec()
                } else {
                    b"-WRONGPASS invalid username-password pair\r\n".to_vec()
                }
            }
            _ if self.password.is_some() && !self.session.0 => b"-NOAUTH Authentication required.\r\n".to_vec(),
            b"SELECT" => {
                self.session.1 = text(&command[1]);
                b"+OK\r\n".to_vec()
            }
            b"EVAL" | b"EVALSHA" => self.eval(command, node, asking),
            _ => b"-ERR unknown command\r\n".to_vec(),
        }
    }

    fn eval(&mut self, command: &Command, node: Option<&str>, asking: bool) -> Vec<u8> {
        let count: usize = text(&command[2]).parse().unwrap();
        let (keys, arguments) = command[3..].split_at(count);
        let keys: Vec<String> = keys.iter().map(|key| text(key)).collect();
        let elsewhere = keys.first().and_then(|key| self.elsewhere(slot_of(key), node, asking));
        if let Some(elsewhere) = elsewhere {
            return elsewhere.into_bytes();
        }
        let named = text(&command[1]);
        let (script, verb) =
            scripts().into_iter().find(|(script, _)| script.sha1 == named || script.text == named).unwrap();
        if command[0] == b"EVAL" {
            self.known.insert(script.sha1);
        } else if !self.known.contains(script.sha1) {
            self.did.push("NOSCRIPT");
            return b"-NOSCRIPT No matching script. Please use EVAL.\r\n".to_vec();
        }
        if let Some(error) = self.error {
            return format!("-{error}\r\n").into_bytes();
        }
        if !matches!(verb, "keeps" | "slots") {
            self.did.push(verb);
        }
        match verb {
            "claim" => self.claim(&keys, arguments),
            "complete" => self.complete(&keys, arguments),
            "abandon" => self.abandon(&keys, arguments),
            "read" => self.read(&keys, arguments),
            "keeps" => format!(":{}\r\n", u8::from(!self.evicts)).into_bytes(),
            "slots" => {
                strings(&self.at.map(|node| format!("0 16383 {node}").into_bytes()).into_iter().collect::<Vec<_>>())
            }
            _ => b":1\r\n".to_vec(),
        }
    }

    fn elsewhere(&self, slot: u16, node: Option<&str>, asking: bool) -> Option<String> {
        match (self.at, self.moving_to) {
            (Some(_), Some(next)) if node == Some(next) && asking => None,
            (Some(at), _) if node != Some(at) => Some(format!("-MOVED {slot} {at}\r\n")),
            (Some(_), Some(next)) => Some(format!("-ASK {slot} {next}\r\n")),
            _ => None,
        }
    }

    /// The live record under any of the names.
    fn find(&self, names: &[String]) -> Option<(String, Record<Vec<u8>>)> {
        let now = self.now();
        let mut found = names.iter().filter_map(|name| Some((name.clone(), self.records.get(name)?.clone())));
        found.find(|(_, record)| now < record.expires)
    }

    fn put(&mut self, names: &[String], at: &str, write: Write<Vec<u8>>) {
        if let Write::Put(record) = write {
            self.records.retain(|name, _| !names.contains(name));
            self.records.insert(at.to_owned(), record);
        }
    }

    fn claim(&mut self, names: &[String], arguments: &[Vec<u8>]) -> Vec<u8> {
        let digests: Vec<[u8; 32]> = arguments[2].as_chunks().0.to_vec();
        let version = u64::from_str_radix(&text(&arguments[1]), 16).unwrap();
        let claim = Claim {
            owner: owner(&arguments[0]),
            fingerprint: Fingerprint { version, digest: digests[0] },
            others: digests[1..].to_vec(),
            lease: parsed(&arguments[3]),
            ttl: parsed(&arguments[4]),
            reexecute: arguments[5] == b"1",
        };
        let gave_up = self.tombstones.get(&claim.owner).is_some_and(|until| self.now() < *until);
        let found = self.find(names);
        let (answer, write) = protocol::claim(found.as_ref().map(|(_, record)| record), gave_up, &claim, self.now());
        self.put(names, &names[0], write);
        match (answer, arguments.get(6).map(|room| parsed(room)), found) {
            (Answer::Done(answer), Some(room), Some((_, record))) if answer.len() > room => {
                let parts = ["long".to_owned(), format!("{:032x}", record.owner.0), answer.len().to_string()];
                strings(&parts.map(String::into_bytes))
            }
            (answer, _, _) => said(answer),
        }
    }

    fn read(&self, names: &[String], arguments: &[Vec<u8>]) -> Vec<u8> {
        let found = self.find(names).filter(|(_, record)| record.owner == owner(&arguments[0]));
        let Some((_, Record { stage: Stage::Done(answer), .. })) = found else { return b"$-1\r\n".to_vec() };
        let (first, last) = (parsed::<usize>(&arguments[1]) - 1, parsed::<usize>(&arguments[2]).min(answer.len()));
        let piece = answer.get(first..last).unwrap_or_default();
        [format!("${}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
    }

    fn complete(&mut self, names: &[String], arguments: &[Vec<u8>]) -> Vec<u8> {
        let found = self.find(names);
        let (answer, ttl) = (arguments[1].clone(), parsed(&arguments[2]));
        let record = found.as_ref().map(|(_, record)| record);
        let (stored, write) = protocol::complete(record, owner(&arguments[0]), answer, ttl, self.now());
        self.put(names, found.as_ref().map_or("", |(name, _)| name), write);
        format!(":{}\r\n", u8::from(stored)).into_bytes()
    }

    fn abandon(&mut self, names: &[String], arguments: &[Vec<u8>]) -> Vec<u8> {
        let found = self.find(names);
        let keep: u64 = parsed(&arguments[1]);
        let record = found.as_ref().map(|(_, record)| record);
        let (released, write) = protocol::abandon(record, owner(&arguments[0]), keep, self.now());
        self.put(names, found.as_ref().map_or("", |(name, _)| name), write);
        self.tombstones.insert(owner(&arguments[0]), self.now() + keep);
        format!(":{}\r\n", u8::from(released)).into_bytes()
    }
}

impl Store for FakeRedis {
    fn answer(&mut self, callout: &Callout) -> Vec<u8> {
        let node = callout.headers.iter().find(|(name, _)| name == "x-redis-node").map(|(_, value)| value.as_str());
        self.session = Default::default();
        commands(&callout.body).iter().flat_map(|command| self.run(command, node)).collect()
    }

    fn label(&self) -> &'static str {
        "redis"
    }
}

fn scripts() -> [(Script, &'static str); 8] {
    let [note, drop] = index::SCRIPTS;
    let verbs = [(CLAIM, "claim"), (COMPLETE, "complete"), (ABANDON, "abandon"), (note, "index"), (drop, "unindex")];
    let others = [(keeps::SCRIPT, "keeps"), (slots::SCRIPT, "slots"), (pieces::SCRIPT, "read")];
    let mut all = verbs.into_iter().chain(others);
    core::array::from_fn(|_| all.next().unwrap())
}

fn said(answer: Answer<Vec<u8>>) -> Vec<u8> {
    let number = |number: u64| number.to_string().into_bytes();
    strings(&match answer {
        Answer::Claimed { fence } => vec![b"claimed".to_vec(), number(fence)],
        Answer::InFlight { remaining } => vec![b"in_flight".to_vec(), number(remaining)],
        Answer::Done(answer) => vec![b"done".to_vec(), answer],
        Answer::Mismatch => vec![b"mismatch".to_vec()],
        Answer::Unknown => vec![b"unknown".to_vec()],
        Answer::Uncertain { fence } => vec![b"uncertain".to_vec(), number(fence)],
        Answer::Abandoned => vec![b"abandoned".to_vec()],
    })
}

fn strings(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    idempotency::store::resp::command(&mut out, parts.iter().map(Vec::as_slice));
    out
}

/// What a pipeline asks, command by command.
pub(crate) fn commands(mut body: &[u8]) -> Vec<Command> {
    let mut commands = Vec::new();
    while !body.is_empty() {
        let count = length(&mut body, b'*');
        commands.push((0..count).map(|_| bulk(&mut body)).collect());
    }
    commands
}

fn length(body: &mut &[u8], kind: u8) -> usize {
    assert_eq!(body[0], kind, "{:?}", String::from_utf8_lossy(body));
    let line = until_crlf(body);
    parsed(&line[1..])
}

fn bulk(body: &mut &[u8]) -> Vec<u8> {
    let length = length(body, b'$');
    let (value, rest) = body.split_at(length);
    *body = rest.strip_prefix(b"\r\n").unwrap();
    value.to_vec()
}

fn until_crlf(body: &mut &[u8]) -> Vec<u8> {
    let end = body.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let (line, rest) = body.split_at(end);
    *body = &rest[2..];
    line.to_vec()
}

fn owner(text: &[u8]) -> Owner {
    Owner(u128::from_str_radix(core::str::from_utf8(text).unwrap(), 16).unwrap())
}

fn parsed<T: core::str::FromStr<Err: core::fmt::Debug>>(bytes: &[u8]) -> T {
    text(bytes).parse().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

//! The protocol in the proxy's shared data, on a fake proxy with several workers.

mod bounds;
mod clock;
mod cost;
mod faults;
mod model;
mod races;
mod shared;
mod stories;

use idempotency::protocol::{Answer, Claim, Fingerprint, Owner};
use idempotency::store::memory::Memory;
use idempotency::store::{Failure, Name};
use sdk_shim::fake::{FakeHost, FakeProxy};
use sdk_shim::host::Host;

/// Milliseconds.
const LEASE: u64 = 30_000;
/// Milliseconds.
const TTL: u64 = 86_400_000;
/// What every cell's name begins with.
const PREFIX: &str = "m";

/// One worker of a proxy, with its own view of the memory that all share.
#[derive(Clone)]
struct Worker {
    host: FakeHost,
    memory: std::rc::Rc<Memory>,
}

impl Worker {
    fn of(proxy: &FakeProxy, slots: u32, max_bytes: u64) -> Self {
        Self { host: proxy.worker(), memory: Memory::new(PREFIX, slots, max_bytes).into() }
    }

    /// Two workers with the defaults of the configuration.
    fn two(proxy: &FakeProxy) -> [Self; 2] {
        [(); 2].map(|()| Self::of(proxy, 4_096, 64 << 20))
    }

    fn now(&self) -> u64 {
        self.host.now().as_millis()
    }

    fn claim(&self, key: &str, owner: u128) -> Result<Answer<Vec<u8>>, Failure> {
        self.claim_as(key, &wish(owner))
    }

    fn claim_as(&self, key: &str, claim: &Claim) -> Result<Answer<Vec<u8>>, Failure> {
        self.memory.claim(&self.host, &name(key), claim, self.now())
    }

    /// The answer's small form begins with `~` and ends with its first byte.
    fn complete(&self, key: &str, owner: u128, answer: &[u8]) -> Result<bool, Failure> {
        self.memory.complete(&self.host, &name(key), Owner(owner), answer, &small(answer), TTL, self.now())
    }

    fn abandon(&self, key: &str, owner: u128) -> Result<bool, Failure> {
        self.memory.abandon(&self.host, &name(key), Owner(owner), 60_000, self.now())
    }

    /// Claims a new key and completes it.
    fn pay(&self, key: &str, owner: u128, answer: &[u8]) -> Result<bool, Failure> {
        assert!(matches!(self.claim(key, owner)?, Answer::Claimed { .. }));
        self.complete(key, owner, answer)
    }
}

fn small(answer: &[u8]) -> Vec<u8> {
    b"~".iter().chain(answer.first()).copied().collect()
}

fn name(key: &str) -> Name {
    Name::new(format!("{{0000}}{key}")).unwrap()
}

fn wish(owner: u128) -> Claim {
    let fingerprint = Fingerprint { version: 1, digest: [7; 32] };
    Claim { owner: Owner(owner), fingerprint, others: Vec::new(), lease: LEASE, ttl: TTL, reexecute: false }
}

#[allow(clippy::needless_pass_by_value, reason = "reads better")]
fn fence(answer: Result<Answer<Vec<u8>>, Failure>) -> u64 {
    let Ok(Answer::Claimed { fence }) = answer else { panic!("{answer:?}") };
    fence
}

fn both() -> [FakeProxy; 2] {
    [FakeProxy::envoy(), FakeProxy::wasmx()]
}

/// The bytes of a cell, without the name that stands before them.
fn cell(proxy: &FakeProxy, cell: &str) -> Option<Vec<u8>> {
    let bytes = proxy.shared(&format!("{PREFIX}{cell}")).value?;
    let length = usize::from(u16::from_le_bytes(*bytes.first_chunk()?));
    bytes.get(2 + length..).map(<[u8]>::to_vec)
}

/// Writes a cell as another version of this software would.
fn put_cell(proxy: &FakeProxy, cell: &str, bytes: &[u8]) {
    let name = format!("{PREFIX}{cell}");
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    proxy.put_shared(&name, &[&length[..], name.as_bytes(), bytes].concat());
}

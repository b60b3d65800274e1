//! How many requests of a tenant are under way, over all workers of a node.
//!
//! One tenant's storm must not fill the store, nor the service, for everybody. Counting up and down would leak whenever a worker dies or a stream ends
//! without being told. So each request holds a lease, in a cell that all workers share: whoever is gone stops counting when its lease is over.
//!
//! There are [`BUCKETS`] cells, and a tenant belongs to one of them by its hash. Tenants in one bucket don't count for each other, but a bucket
//! holds at most [`MOST_PER_BUCKET`] leases (32 bytes each): where it is full, none of them gets one more. A cell that can't be read counts as
//! empty: this is a limit, not a record of what ran, and it is right again after a lease.
//!
//! Taking and giving back are a read and a write each; a refusal is a read.

use crate::protocol::Owner;
use core::time::Duration;
use sdk_shim::cell::{self, CellError, Record};
use sdk_shim::host::Host;
use sdk_shim::time::Instant;

/// Cells, at most: Envoy can't delete any.
pub const BUCKETS: u64 = 1024;

/// Leases that one bucket holds, at most: no limit can be higher.
pub const MOST_PER_BUCKET: usize = 1_000;

/// The number of the encoding.
const FORM: u8 = 1;

/// Bytes of a lease.
const LEASE: usize = 32;

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is: a hash of the tenant.
    pub tenant: u64,
    /// Which request.
    pub token: u64,
    /// When it was taken.
    pub since: Instant,
    /// For how long it counts.
    pub length: Duration,
}

/// The leases of the tenants of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket(Vec<Lease>);

// === impl Lease ===

impl Lease {
    fn counts(&self, now: Instant) -> bool {
        now < self.since.plus(self.length)
    }

    fn is(&self, tenant: u64, token: u64) -> bool {
        self.tenant == tenant && self.token == token
    }
}

// === impl Bucket ===

impl Bucket {
    /// Takes a lease, unless `limit` of its tenant count by `now` (its `since`), or the bucket is full. Taking it again begins it anew.
    #[must_use]
    pub fn take(mut self, lease: Lease, limit: u32) -> (Self, bool) {
        self.tidy(lease.since);
        self.0.retain(|other| !other.is(lease.tenant, lease.token));
        let free = self.count(lease.tenant) < limit as usize && self.0.len() < MOST_PER_BUCKET;
        self.0.extend(free.then_some(lease));
        (self, free)
    }

    /// Gives a lease back; `false` where it isn't there (any more).
    #[must_use]
    pub fn give_back(mut self, tenant: u64, token: u64, now: Instant) -> (Self, bool) {
        let known = self.0.iter().any(|lease| lease.is(tenant, token));
        self.0.retain(|lease| !lease.is(tenant, token));
        self.tidy(now);
        (self, known)
    }

    /// Leases of a tenant that are in the bucket.
    pub fn count(&self, tenant: u64) -> usize {
        self.0.iter().filter(|lease| lease.tenant == tenant).count()
    }

    /// Drops what is over. A lease from a time that hasn't come was taken before the clock stepped back: it begins now, or the step would
    /// prolong it.
    fn tidy(&mut self, now: Instant) {
        self.0.retain(|lease| lease.counts(now));
        self.0.iter_mut().for_each(|lease| lease.since = lease.since.min(now));
    }
}

// === impl Record: little-endian; the first byte is the encoding's number ===

impl Record for Bucket {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + LEASE * self.0.len());
        out.push(FORM);
        for lease in &self.0 {
            let length = u64::try_from(lease.length.as_nanos()).unwrap_or(u64::MAX);
            let numbers = [lease.tenant, lease.token, lease.since.as_nanos(), length];
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [FORM, rest @ ..] = bytes else { return None };
        let (leases, rest) = rest.as_chunks::<LEASE>();
        rest.is_empty().then(|| Self(leases.iter().map(decode).collect()))
    }
}

fn decode(bytes: &[u8; LEASE]) -> Lease {
    let mut numbers = bytes.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
    let mut next = || numbers.next().unwrap_or(0);
    let (tenant, token, since) = (next(), next(), Instant::from_nanos(next()));
    Lease { tenant, token, since, length: Duration::from_nanos(next()) }
}

/// A request's token: half of its owner's, which is drawn for it alone.
#[allow(clippy::cast_possible_truncation, reason = "that half")]
pub const fn token(owner: Owner) -> u64 {
    owner.0 as u64 ^ (owner.0 >> 64) as u64
}

/// Takes a lease for a request of a tenant; `false` where `limit` of them are under way. What is not given back counts for the length
/// of `lease`. Taking the same one again is no second one.
pub fn take<H: Host>(
    host: &H,
    prefix: &str,
    tenant: u64,
    limit: u32,
    token: u64,
    now: Instant,
    lease: Duration,
) -> Result<bool, CellError> {
    let lease = Lease { tenant, token, since: now, length: lease };
    cell::update(host, &cell_name(prefix, tenant), |bucket: Option<Bucket>| {
        let (bucket, free) = bucket.unwrap_or_default().take(lease, limit);
        (free.then_some(bucket), free)
    })
}

/// Gives a lease back; `false` where it was over already.
pub fn give_back<H: Host>(host: &H, prefix: &str, tenant: u64, token: u64) -> Result<bool, CellError> {
    let now = host.now();
    cell::update(host, &cell_name(prefix, tenant), |bucket: Option<Bucket>| {
        let (bucket, known) = bucket.unwrap_or_default().give_back(tenant, token, now);
        (known.then_some(bucket), known)
    })
}

/// The cell of a tenant.
pub fn cell_name(prefix: &str, tenant: u64) -> String {
    format!("{prefix};q{}", tenant % BUCKETS)
}

//! The names under which a key is stored: what makes two requests the same request.
//!
//! A name is `{xxxx}` and the hex digits of an HMAC-SHA-256 over namespace, tenant, method, path and key, 70 bytes in all. Two tenants with the same
//! key never meet, and neither do two paths. The route's name is not in it: a renamed or split route would forget what ran.
//!
//! There is one name for each secret, and a script looks at all of them at once, which a Redis cluster allows only on one node.
//! So the hash tag comes from the same input WITHOUT a secret; 14 bits of it are all that a cluster can use (16,384 slots), and all that is given
//! away.

use crate::encoding::{Encoding, hex};
use crate::secret::Secrets;
use crate::target;

/// What a key is bound to.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// From the configuration; apart from other users of the same store.
    pub namespace: &'a str,
    /// The values of the configured tenant headers, in the order of the configuration.
    pub tenant: &'a [&'a [u8]],
    /// The request's method.
    pub method: &'a [u8],
    /// The request's target; the query is left out, it is for the fingerprint to tell.
    pub target: &'a [u8],
    /// The key itself.
    pub key: &'a [u8],
}

// === impl Scope ===

impl Scope<'_> {
    /// One name for each secret, the one to write first.
    pub fn names(&self, secrets: &Secrets) -> Vec<String> {
        let encoding = self.encoding();
        let tag = hash_tag(&encoding);
        secrets.iter().map(|secret| format!("{tag}{}", hex(&secret.mac(&encoding)))).collect()
    }

    fn encoding(&self) -> Encoding {
        let mut encoding = Encoding::of("name 1");
        encoding
            .bytes(self.namespace.as_bytes())
            .list(self.tenant)
            .bytes(self.method)
            .bytes(target::path(self.target))
            .bytes(self.key);
        encoding
    }
}

/// The part of a name that Redis takes the slot from, as four hex digits in braces.
fn hash_tag(encoding: &Encoding) -> String {
    let bits = encoding.digest().first_chunk::<2>().map_or(0, |first| u16::from_be_bytes(*first) >> 2);
    format!("{{{bits:04x}}}")
}

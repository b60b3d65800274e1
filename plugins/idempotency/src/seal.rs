//! Sealing: nobody who reads the store reads what a service answered, and nobody who writes to it makes up an answer.
//!
//! ```text
//!   key  = HMAC-SHA-256(secret, "seal 1", name, salt)
//!   blob = form | salt | ChaCha20-Poly1305(key, nonce 0, associated data: form, name)
//!          1      16     as long as what is sealed, and 16 for the tag
//! ```
//!
//! **Why the nonce may stand still.** A nonce must not come twice under one key, and 96 bits are few for nodes that draw them without asking each
//! other. Here each salt makes a key of its own (HMAC is a PRF), and a key seals once. What must not come twice is a salt with the same
//! secret and name: 128 bits, drawn anew for each call of [`seal`]. A claim's owner token will do only for whoever seals one text per claim: an
//! answer that is sealed again, without its body this time, needs another salt.
//!
//! **Why this cipher.** A proxy's Wasm has no AES instructions. `chacha20poly1305` adds 6.0 KB to a module and seals 4 KiB in 20 us;
//! `aes-gcm-siv`, which forgives a salt that comes twice, adds 17.9 KB and takes 90 us (V8, module profile; docs/crypto.md).

use crate::encoding::Encoding;
use crate::secret::{Secret, Secrets};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};

/// The number of the blob's form; tests/seal.rs pins it. It changes together with the `1` of `seal 1`.
pub const FORM: u8 = 1;

/// Bytes that a blob has more than what is sealed in it: form, salt and tag.
pub const OVERHEAD: usize = 1 + SALT + TAG;

const SALT: usize = 16;
const TAG: usize = 16;

/// A blob in its parts.
struct Blob<'a> {
    salt: &'a [u8; SALT],
    text: &'a [u8],
    tag: &'a [u8; TAG],
}

/// Seals `plain` under one secret, for the name that the key has under **that** secret.
///
/// `salt` must never come again with the same secret and name, unless for the same text. More than 256 GiB can't be sealed, and make an empty
/// blob, which doesn't open.
pub fn seal(secret: &Secret, name: &str, salt: u128, plain: &[u8]) -> Vec<u8> {
    let (salt, mut text) = (salt.to_le_bytes(), plain.to_vec());
    let sealed = cipher(secret, name, &salt).encrypt_inout_detached(&nonce(), &bound(name), text.as_mut_slice().into());
    match sealed {
        Ok(tag) => [&[FORM][..], &salt, &text, &tag].concat(),
        Err(_) => Vec::new(),
    }
}

/// Opens a blob that one of the secrets has sealed. `names` are those of the key, in the order of the secrets
/// ([`crate::scope::Scope::names`]): whoever completed a claim may have had its secrets in another order than who reads.
///
/// `None` for a blob of another key, under none of the secrets, changed, cut short, or in another form: a record that was done, and whose
/// answer nobody knows.
pub fn open<'a>(secrets: &Secrets, names: impl Iterator<Item = &'a str>, blob: &[u8]) -> Option<Vec<u8>> {
    let blob = Blob::read(blob)?;
    secrets.iter().zip(names).find_map(|(secret, name)| blob.open(secret, name))
}

// === impl Blob ===

impl<'a> Blob<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (form, rest) = bytes.split_first()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (text, tag) = rest.split_last_chunk()?;
        (*form == FORM).then_some(Self { salt, text, tag })
    }

    fn open(&self, secret: &Secret, name: &str) -> Option<Vec<u8>> {
        let (mut text, tag) = (self.text.to_vec(), Tag::from(*self.tag));
        let cipher = cipher(secret, name, self.salt);
        cipher.decrypt_inout_detached(&nonce(), &bound(name), text.as_mut_slice().into(), &tag).ok()?;
        Some(text)
    }
}

/// The cipher with the key of this name and salt.
fn cipher(secret: &Secret, name: &str, salt: &[u8; SALT]) -> ChaCha20Poly1305 {
    let key = secret.mac(Encoding::of("seal 1").bytes(name.as_bytes()).bytes(salt));
    ChaCha20Poly1305::new(&key.into())
}

/// The same for all: see above.
fn nonce() -> Nonce {
    Nonce::default()
}

/// What a blob is bound to besides its key. The name is in the key as well; that it stands here needs no argument about HMAC.
fn bound(name: &str) -> Vec<u8> {
    [&[FORM][..], name.as_bytes()].concat()
}

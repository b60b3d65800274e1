//! What a request is, as 32 bytes: whether a key was used before for the same request, or for another one.
//!
//! A digest over too much turns honest retries into conflicts (trace headers and dates differ each time); one over too little answers a payment
//! of 20 with the receipt for 10. So method, path and body count always, and of the query and the headers what the operator chose.
//!
//! **Two nodes need not run the same version, nor the same configuration.** The digest comes with the hash of the form's number and of the
//! selection; digests whose versions differ are not compared, and the answer is "unknown", never "another request".
//!
//! **Two nodes need not write under the same secret either.** A digest belongs to the name it is stored under: there is one for each secret, in the
//! order of [`crate::scope::Scope::names`], and the one to compare is that of the name under which a record was found.

use crate::canonical::{self, Pointers};
use crate::encoding::{Encoding, hex};
use crate::protocol::Fingerprint;
use crate::secret::{Secret, Secrets};
use crate::target;
use sdk_shim::headers::Headers;

/// The number of the form. One more with each change to what is digested, or how: tests/vectors.json pins it.
pub const FORM: u64 = if cfg!(feature = "test-next-version") { 2 } else { 1 };

/// What of a request counts, besides method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pointers: Pointers,
    headers: Vec<String>,
    query: Vec<String>,
    version: u64,
}

/// A request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Its target: path and query.
    pub target: &'a [u8],
    /// Its headers, `content-type` among them.
    pub headers: &'a Headers,
    /// All of its body.
    pub body: &'a [u8],
}

/// How a body was digested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyForm {
    /// As it came: it isn't JSON, or not to us.
    Bytes = 0,
    /// The chosen values, in canonical form.
    Json = 1,
    /// Not at all: it may be a stream, and is not waited for.
    Unread = 2,
}

/// What of a request is digested; not for any log.
pub struct Form {
    encoding: Encoding,
    version: u64,
    body: BodyForm,
}

// === impl Selection ===

impl Default for Selection {
    /// Method, path and the whole body.
    fn default() -> Self {
        Self::new(Pointers::default(), Vec::new(), Vec::new())
    }
}

impl Selection {
    /// Names of headers in any case; names of query parameters as their bytes are on the wire. Their order doesn't matter.
    pub fn new(pointers: Pointers, headers: Vec<String>, query: Vec<String>) -> Self {
        let headers = canonical::set(headers.into_iter().map(|name| name.to_ascii_lowercase()).collect());
        let query = canonical::set(query);
        let mut encoding = Encoding::of("selection");
        pointers.describe(encoding.number(FORM));
        encoding.list(&headers).list(&query);
        let version = encoding.digest().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
        Self { pointers, headers, query, version }
    }

    /// What tells this form and this selection from any other.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Takes from a request what counts. Several values of one header or parameter count in the order in which they came.
    pub fn form(&self, request: &Request<'_>) -> Form {
        let mut encoding = self.head(request);
        let body = self.body(request, &mut encoding);
        Form { encoding, version: self.version, body }
    }

    /// The same of a request whose body isn't read, whatever is in it.
    pub fn form_without_body(&self, request: &Request<'_>) -> Form {
        let mut encoding = self.head(request);
        encoding.number(BodyForm::Unread as u64);
        Form { encoding, version: self.version, body: BodyForm::Unread }
    }

    fn head(&self, request: &Request<'_>) -> Encoding {
        let mut encoding = Encoding::of("fingerprint");
        encoding.number(FORM).number(self.version).bytes(request.method).bytes(target::path(request.target));
        for name in &self.query {
            encoding.list(&target::parameter(request.target, name));
        }
        for name in &self.headers {
            encoding.list(&request.headers.all(name).collect::<Vec<_>>());
        }
        encoding
    }

    fn body(&self, request: &Request<'_>, encoding: &mut Encoding) -> BodyForm {
        let says_json = request.headers.get("content-type").is_some_and(canonical::is_json);
        let (form, json) = match says_json.then(|| canonical::read(request.body)).flatten() {
            Some(json) => (BodyForm::Json, Some(json)),
            None => (BodyForm::Bytes, None),
        };
        encoding.number(form as u64);
        match json {
            Some(json) => self.pointers.encode(json, encoding),
            None => drop(encoding.bytes(request.body)),
        }
        form
    }
}

// === impl Form ===

impl Form {
    /// One for each secret, in the order of the names.
    pub fn fingerprints(&self, secrets: &Secrets) -> Vec<Fingerprint> {
        secrets.iter().map(|secret| self.fingerprint(secret)).collect()
    }

    /// The one for this secret.
    pub fn fingerprint(&self, secret: &Secret) -> Fingerprint {
        Fingerprint { version: self.version, digest: secret.mac(&self.encoding) }
    }

    /// A key for a request that has none (`derive`). It is the same for all secrets, so that the names stay on one node; it goes into a name
    /// and nowhere else.
    pub fn derived_key(&self) -> String {
        hex(&self.encoding.digest())
    }

    /// How the body was digested.
    pub const fn body(&self) -> BodyForm {
        self.body
    }
}

//! A repository of a registry, and nothing of what is in it believed unseen: every byte is counted, and compared with its digest.

use super::package::{Blob, EMPTY, INDEX, MANIFEST, digest};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::runtime::Runtime;

/// Largest module, with what is around it: Istio and Envoy Gateway take 256 MiB, ours are below one.
const MAX_BLOB: u64 = 64 << 20;
/// Longest wait for the next byte.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Kinds of manifests that are asked for.
const MANIFESTS: [&str; 4] = [
    INDEX,
    MANIFEST,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// One repository, and who asks.
pub(crate) struct Repository {
    client: Client,
    runtime: Runtime,
    auth: RegistryAuth,
    /// As it was named, with a tag or a digest.
    pub(crate) reference: Reference,
}

/// A registry over HTTP, such as one on this machine; and who asks, where it wants to know.
#[derive(Clone, Default)]
pub(crate) struct Access {
    pub(crate) plain_http: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

// === impl Repository ===

impl Repository {
    pub(crate) fn new(reference: &str, access: &Access) -> Result<Self, String> {
        let reference: Reference = reference
            .strip_prefix("oci://")
            .unwrap_or(reference)
            .parse()
            .map_err(|error| format!("{reference:?} names no image: {error}"))?;
        // Another one may have been chosen already, and will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = reference.resolve_registry().to_owned();
        let protocol =
            if access.plain_http { ClientProtocol::HttpsExcept(vec![registry]) } else { ClientProtocol::Https };
        let client = Client::new(ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("holdfastctl/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        let auth = match (&access.user, &access.password) {
            (Some(user), Some(password)) => RegistryAuth::Basic(user.clone(), password.clone()),
            _ => RegistryAuth::Anonymous,
        };
        Ok(Self { client, runtime, auth, reference })
    }

    /// The same repository, by digest.
    fn by(&self, digest: &str) -> Reference {
        Reference::with_digest(
            self.reference.registry().to_owned(),
            self.reference.repository().to_owned(),
            digest.to_owned(),
        )
    }

    fn tag(&self, tag: &str) -> Reference {
        Reference::with_tag(
            self.reference.registry().to_owned(),
            self.reference.repository().to_owned(),
            tag.to_owned(),
        )
    }

    fn wait<T>(&self, what: &str, call: impl Future<Output = Result<T, OciDistributionError>>) -> Result<T, String> {
        self.runtime.block_on(call).map_err(|error| self.clear(what, &error))
    }

    /// What went wrong, for people.
    fn clear(&self, what: &str, error: &OciDistributionError) -> String {
        let place = format!("{}/{}", self.reference.registry(), self.reference.repository());
        let reason = match (status(error), error) {
            (Some(401 | 403), _) | (_, OciDistributionError::AuthenticationFailure(_)) => {
                "the registry doesn't let us: set HOLDFAST_REGISTRY_USER and HOLDFAST_REGISTRY_PASSWORD".to_owned()
            }
            (Some(404), _) => "there is no such thing".to_owned(),
            (Some(429), _) => "the registry has too many requests; try again later".to_owned(),
            (Some(status @ 500..), _) => format!("the registry is unwell (status {status}); try again later"),
            (_, OciDistributionError::DigestError(error)) => format!("what came isn't what was named: {error}"),
            (_, OciDistributionError::RequestError(error)) => format!("no answer: {}", chain(error)),
            (_, other) => chain(other),
        };
        format!("{place}: {what}: {reason}")
    }

    /// Makes sure that we may write.
    pub(crate) fn sign_in(&self) -> Result<(), String> {
        self.wait("sign in", self.client.auth(&self.reference, &self.auth, RegistryOperation::Push)).map(drop)
    }

    /// What a tag names, if there is something.
    pub(crate) fn digest_of(&self, tag: &str) -> Result<Option<String>, String> {
        let tag = self.tag(tag);
        let call = self.client.pull_manifest_raw(&tag, &self.auth, &MANIFESTS);
        match self.runtime.block_on(call) {
            Ok((bytes, _)) => Ok(Some(digest(&bytes))),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.clear("look for the tag", &error)),
        }
    }

    /// What this reference names: its bytes, and their digest.
    pub(crate) fn named(&self) -> Result<(Vec<u8>, String), String> {
        self.manifest_at(&self.reference)
    }

    /// The manifest with this digest.
    pub(crate) fn manifest(&self, digest: &str) -> Result<Vec<u8>, String> {
        self.manifest_at(&self.by(digest)).map(|(bytes, _)| bytes)
    }

    fn manifest_at(&self, reference: &Reference) -> Result<(Vec<u8>, String), String> {
        let call = self.client.pull_manifest_raw(reference, &self.auth, &MANIFESTS);
        let (bytes, _) = self.wait(&format!("get {}", short(reference)), call)?;
        let found = digest(&bytes);
        match reference.digest() {
            Some(named) if named != found => {
                Err(format!("{reference}: what came isn't what was named: its digest is {found}"))
            }
            _ => Ok((bytes.to_vec(), found)),
        }
    }

    /// A blob of this size and digest.
    pub(crate) fn blob(&self, digest: &str, size: u64) -> Result<Vec<u8>, String> {
        if size > MAX_BLOB {
            return Err(format!("{digest} would be {size} bytes, more than {MAX_BLOB}"));
        }
        let reference = self.by(digest);
        let mut room = Room { bytes: Vec::new(), most: size };
        // Whoever asks for a blob first isn't known yet.
        let call = async {
            self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth).await;
            self.client.pull_blob(&reference, digest, &mut room).await
        };
        self.wait(&format!("get {digest}"), call)?;
        if room.bytes.len() as u64 != size {
            return Err(format!("{digest} is {} bytes, and should be {size}", room.bytes.len()));
        }
        Ok(room.bytes)
    }

    /// Uploads a blob, unless it is there.
    pub(crate) fn push_blob(&self, blob: &Blob) -> Result<(), String> {
        let there = self.client.blob_exists(&self.reference, &blob.digest);
        // Some registries have this one without being given it, and take it only whole.
        if blob.media_type != EMPTY && self.wait(&format!("look for {}", blob.digest), there)? {
            return Ok(());
        }
        let call = self.client.push_blob(&self.reference, blob.bytes.clone(), &blob.digest);
        self.wait(&format!("upload {}", blob.digest), call).map(drop)
    }

    /// Uploads a manifest: under its digest, or under a tag.
    pub(crate) fn push_manifest(&self, manifest: &Blob, tag: Option<&str>) -> Result<(), String> {
        let reference = tag.map_or_else(|| self.by(&manifest.digest), |tag| self.tag(tag));
        let kind = oci_client_header(manifest.media_type)?;
        let call = self.client.push_manifest_raw(&reference, manifest.bytes.clone(), kind);
        self.wait(&format!("upload the manifest {}", short(&reference)), call).map(drop)
    }

    /// All tags.
    pub(crate) fn tags(&self) -> Result<Vec<String>, String> {
        let call = self.client.list_tags(&self.reference, &self.auth, None, None);
        self.wait("list", call).map(|listed| listed.tags)
    }
}

fn oci_client_header(media_type: &str) -> Result<http::HeaderValue, String> {
    http::HeaderValue::from_str(media_type).map_err(|error| format!("{media_type}: {error}"))
}

fn short(reference: &Reference) -> String {
    reference.digest().or(reference.tag()).unwrap_or("latest").to_owned()
}

/// The status that an error is about.
fn status(error: &OciDistributionError) -> Option<u16> {
    match error {
        OciDistributionError::UnauthorizedError { .. } => Some(401),
        OciDistributionError::ImageManifestNotFoundError(_) => Some(404),
        OciDistributionError::ServerError { code, .. } => Some(*code),
        OciDistributionError::RequestError(error) => error.status().map(|status| status.as_u16()),
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.first().and_then(|error| match error.code {
                OciErrorCode::ManifestUnknown
                | OciErrorCode::NameUnknown
                | OciErrorCode::NotFound
                | OciErrorCode::BlobUnknown => Some(404),
                OciErrorCode::Unauthorized => Some(401),
                OciErrorCode::Denied => Some(403),
                OciErrorCode::Toomanyrequests => Some(429),
                _ => None,
            })
        }
        _ => None,
    }
}

/// An error and what it comes from: a library's own words often are only the last of them.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = vec![error.to_string()];
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if told.last() != Some(&text) {
            told.push(text);
        }
        source = inner.source();
    }
    told.join(": ")
}

/// Room for what was announced, and not a byte more.
struct Room {
    bytes: Vec<u8>,
    most: u64,
}

// === impl Room ===

impl AsyncWrite for Room {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if (self.bytes.len() + bytes.len()) as u64 > self.most {
            return Poll::Ready(Err(io::Error::other(format!("more than the {} bytes that it should be", self.most))));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

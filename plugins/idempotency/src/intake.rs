//! A request's headers: is it ours, and whose is it?

use crate::decide::Cause;
use crate::header;
use crate::policy::{HomeBy, Policy};
use crate::target;
use sdk_shim::headers::{Headers, is_grpc, number};

/// What a request's headers lead to.
#[derive(Debug, PartialEq, Eq)]
pub enum Intake {
    /// It has no key, or none is wanted.
    Pass,
    /// No.
    Refuse(Cause),
    /// It is ours.
    Take(Taken),
}

/// What its headers say of a request that is ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its key; `None` where it is to be derived.
    pub key: Option<String>,
    /// The key's header should have been quoted.
    pub bare: bool,
    /// The tenant headers' values.
    pub tenant: Vec<Vec<u8>>,
    /// What the proxy calls the store that has its key, if that is told by the request.
    pub home: Option<String>,
    /// It is gRPC, whose bodies may be streams.
    pub grpc: bool,
}

/// Reads them.
pub fn read(policy: &Policy, headers: &Headers) -> Intake {
    let key = match header::read(headers.all(&policy.header), policy.syntax()) {
        Err(refusal) => return Intake::Refuse(Cause::Key(refusal)),
        Ok(None) if policy.derive.is_none() && policy.required => return Intake::Refuse(Cause::KeyMissing),
        Ok(None) if policy.derive.is_none() => return Intake::Pass,
        Ok(key) => key,
    };
    let Some(tenant) = policy.tenant.iter().map(|name| single(headers, name)).collect::<Option<Vec<_>>>() else {
        return Intake::Refuse(Cause::Tenant);
    };
    let Ok(home) = home(policy, headers, &tenant) else { return Intake::Refuse(Cause::Home) };
    Intake::Take(Taken {
        bare: key.as_ref().is_some_and(|key| key.bare),
        key: key.map(|key| key.text),
        grpc: headers.get("content-type").is_some_and(is_grpc),
        tenant: tenant.into_iter().map(<[u8]>::to_vec).collect(),
        home,
    })
}

/// Where the host stands that was asked for: beside `host`, Kong has its own name in `:authority`.
fn host_header(headers: &Headers) -> &'static str {
    if headers.get("host").is_some() { "host" } else { ":authority" }
}

/// A header's value, if it is there once and says something.
fn single<'a>(headers: &'a Headers, name: &'a str) -> Option<&'a [u8]> {
    let name = if name == ":authority" { host_header(headers) } else { name };
    let mut values = headers.all(name);
    let value = values.next().filter(|value| !value.is_empty())?;
    values.next().is_none().then_some(value)
}

/// Everybody must find the same home for a key, so whoever has none is refused: a default would be another store in each region.
fn home(policy: &Policy, headers: &Headers, tenant: &[&[u8]]) -> Result<Option<String>, ()> {
    let Some(home) = &policy.home else { return Ok(None) };
    let value = match &home.by {
        HomeBy::Tenant => tenant.first().copied(),
        HomeBy::Header(name) => single(headers, name),
    };
    value.and_then(|value| home.of(value)).cloned().map(Some).ok_or(())
}

/// Whether a request was copied by a proxy in front, which says so by its host's ending.
pub fn is_mirrored(policy: &Policy, headers: &Headers) -> bool {
    let Some(suffix) = &policy.mirror else { return false };
    let host = headers.get(host_header(headers)).unwrap_or_default();
    let name = host.split(|byte| *byte == b':').next().unwrap_or_default();
    name.ends_with(suffix.as_bytes())
}

/// Whether a request asks for another protocol: what follows is no body, and may never end. The header alone, without the connection's word for
/// it, asks for nothing.
pub fn is_upgrade(headers: &Headers) -> bool {
    let asks =
        |value: &[u8]| value.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    headers.get("upgrade").is_some() && headers.all("connection").any(asks)
}

/// Whether the client sends its body only when it is asked to.
pub fn waits_to_be_asked(headers: &Headers) -> bool {
    headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// How long the body is, as far as the headers say.
pub fn body_length(headers: &Headers) -> Option<usize> {
    let length = headers.get("content-length").and_then(number)?;
    usize::try_from(length).ok()
}

/// The path without its query.
pub fn path(headers: &Headers) -> &[u8] {
    target::path(headers.get(":path").unwrap_or_default())
}

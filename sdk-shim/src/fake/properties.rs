//! Which properties a host answers, when (E1 and the `WasmX` table).

use super::stream::{Chain, Phase, Stream};
use crate::flavor::Flavor;
use std::collections::BTreeMap;

/// Names of the generic attribute list that Envoy's Wasm filter answers nowhere; their `xds.` forms work.
const NOWHERE: [&str; 5] = ["route_name", "cluster_name", "node", "listener_direction", "route_metadata"];

/// Who asks, and where.
pub(super) struct Asked<'a> {
    pub(super) flavor: Flavor,
    /// The callback's phase, for questions outside a stream.
    pub(super) phase: Phase,
    pub(super) stream: Option<&'a Stream>,
    /// Set by the test for the whole process.
    pub(super) common: &'a BTreeMap<String, Vec<u8>>,
}

/// The answer, where there is one.
pub(super) fn lookup(asked: &Asked<'_>, path: &[&str]) -> Option<Vec<u8>> {
    let name = path.join(".");
    match asked.flavor {
        Flavor::Envoy => envoy(asked, path, &name),
        Flavor::WasmX => wasmx(asked, path, &name),
    }
}

/// Whether `WasmX` writes an error line when it is asked for this.
pub(super) fn is_foreign(path: &[&str]) -> bool {
    let is_unsupported = matches!(
        path,
        ["plugin_vm_id" | "upstream_host_metadata"]
            | ["response", "flags" | "code_details" | "grpc_status" | "trailers"]
            | ["upstream", "local_address" | "transport_failure_reason"]
    );
    is_unsupported || path.first().is_some_and(|first| *first == "xds" || NOWHERE.contains(first))
}

fn envoy(asked: &Asked<'_>, path: &[&str], name: &str) -> Option<Vec<u8>> {
    let first = *path.first()?;
    if NOWHERE.contains(&first) {
        return None;
    }
    let Some(stream) = asked.stream else {
        let of_node = name.starts_with("xds.node.") || first.starts_with("plugin_");
        return if asked.phase == Phase::Idle || of_node { asked.common.get(name).cloned() } else { None };
    };
    filter_state(stream, path).or_else(|| envoy_stream(asked, stream, path, name))
}

fn envoy_stream(asked: &Asked<'_>, stream: &Stream, path: &[&str], name: &str) -> Option<Vec<u8>> {
    if !envoy_has(stream, name) {
        return None;
    }
    let set = stream.properties.get(name).or_else(|| asked.common.get(name)).cloned();
    set.or_else(|| envoy_derived(stream, path, name))
}

/// Whether Envoy knows this attribute in the stream's phase.
fn envoy_has(stream: &Stream, name: &str) -> bool {
    let (phase, down) = (stream.phase, stream.chain == Chain::Downstream);
    let ended = matches!(phase, Phase::Log | Phase::Done);
    match name {
        "request.duration" => down && phase == Phase::Log,
        // The details too, where the request has been answered already (a full pool on 1.36).
        "response.flags" | "response.code_details" => true,
        "response.code" => ended,
        "upstream.address" => !down || !phase.is_request(),
        "upstream.local_address" => !phase.is_request(),
        "upstream.transport_failure_reason" => ended || !phase.is_request(),
        _ if name.starts_with("request.") => stream.shows_request(Flavor::Envoy),
        _ if name.starts_with("response.") => !phase.is_request(),
        _ => true,
    }
}

fn envoy_derived(stream: &Stream, path: &[&str], name: &str) -> Option<Vec<u8>> {
    match name {
        "response.flags" => Some(0_i64.to_le_bytes().to_vec()),
        "response.code" => status(stream).map(|code| i64::from(code).to_le_bytes().to_vec()),
        "upstream.request_attempt_count" => {
            let none_yet = stream.chain == Chain::Downstream && stream.phase.is_request();
            Some(i64::from(!none_yet).to_le_bytes().to_vec())
        }
        "request.host" => header(stream, ":authority"),
        _ => of_request(stream, path),
    }
}

fn wasmx(asked: &Asked<'_>, path: &[&str], name: &str) -> Option<Vec<u8>> {
    if is_foreign(path) {
        return None;
    }
    if name == "plugin_root_id" {
        return Some(b"0".to_vec());
    }
    let Some(stream) = asked.stream else {
        return asked.common.get(name).cloned();
    };
    if matches!(name, "response.flags" | "response.code_details")
        || (name == "upstream.address" && stream.phase.is_request())
    {
        return None;
    }
    let set = stream.properties.get(name).or_else(|| asked.common.get(name)).cloned();
    let set = if name == "upstream.address" { set.map(without_port) } else { set };
    let word = match path {
        ["kong", "ctx", "shared", word] if !stream.phase.is_end() => stream.state.get(word),
        _ => None,
    };
    set.or(word).or_else(|| wasmx_derived(stream, path, name))
}

fn wasmx_derived(stream: &Stream, path: &[&str], name: &str) -> Option<Vec<u8>> {
    match name {
        "response.code" => status(stream).map(|code| code.to_string().into_bytes()),
        // Where the headers don't tell it, nginx knows it of a body that it has read before: that is for a test to say.
        "request.size" => header(stream, "content-length"),
        // The server's own name, not what the client asked for.
        "request.host" => header(stream, ":authority"),
        _ => of_request(stream, path),
    }
}

/// Filter state answers to its bare name and to `filter_state`, `wasm.<name>`; longer paths are write-only dead ends.
fn filter_state(stream: &Stream, path: &[&str]) -> Option<Vec<u8>> {
    match path {
        [name] => stream.state.get(name),
        ["filter_state", name] => stream.state.get(name.strip_prefix("wasm.")?),
        _ => None,
    }
}

fn of_request(stream: &Stream, path: &[&str]) -> Option<Vec<u8>> {
    match path {
        ["request", "path"] => header(stream, ":path"),
        ["request", "method"] => header(stream, ":method"),
        ["request", "scheme"] => header(stream, ":scheme"),
        ["request", "id"] => header(stream, "x-request-id"),
        ["request", "headers", name] => header(stream, name),
        _ => None,
    }
}

fn header(stream: &Stream, name: &str) -> Option<Vec<u8>> {
    stream.request.headers.get(name).map(<[u8]>::to_vec)
}

/// The status that the client sees.
pub(super) fn status(stream: &Stream) -> Option<u16> {
    core::str::from_utf8(stream.response.headers.get(":status")?).ok()?.parse().ok()
}

fn without_port(mut address: Vec<u8>) -> Vec<u8> {
    if let Some(colon) = address.iter().rposition(|byte| *byte == b':') {
        address.truncate(colon);
    }
    address
}

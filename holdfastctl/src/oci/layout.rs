//! What a consumer makes of a tag: by the rules that their documentation and sources give, as predicates over what was fetched.
//!
//! | consumer | its rule |
//! |---|---|
//! | Istio, Envoy Gateway | an index is its first child for linux/amd64, where one without a platform counts as that; the last layer of the image is `tar+gzip`, and has `plugin.wasm` |
//! | CNCF's tools | the child for `wasm`: its configuration is `application/vnd.wasm.config.v0+json`, and it has one layer, `application/wasm` |
//! | ours, for Kong and bare Envoy | the child for an unknown platform, of type `application/vnd.holdfast.files.v1`: files by their titles |

use super::package::{FILES, INDEX, MANIFEST, PLUGIN, TAR_GZIP, TITLE, WASM, WASM_CONFIG};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::io::Read as _;

/// Largest module in an image for meshes: an archive must not unpack to more.
const MAX_PLUGIN: u64 = 64 << 20;

/// A part of a manifest that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) digest: String,
    pub(crate) size: u64,
}

/// A file that `pull` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Titled {
    pub(crate) name: String,
    pub(crate) blob: Descriptor,
}

/// The children of an index that each consumer takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Children {
    pub(crate) mesh: Descriptor,
    pub(crate) wasm: Descriptor,
    pub(crate) files: Descriptor,
}

/// Who takes which child.
pub(crate) fn children(index: &Value) -> Result<Children, String> {
    if text(index, "mediaType") != INDEX {
        return Err(format!("it is {:?} and no index: Istio and Kong find nothing in it", text(index, "mediaType")));
    }
    let entries: Vec<&Value> = index.get("manifests").and_then(Value::as_array).into_iter().flatten().collect();
    let platform = |entry: &Value, os: &str, architecture: &str| match entry.get("platform") {
        Some(platform) => text(platform, "os") == os && text(platform, "architecture") == architecture,
        None => (os, architecture) == ("linux", "amd64"),
    };
    let first = |what: &str, is: &dyn Fn(&Value) -> bool| {
        let entry = entries.iter().find(|entry| is(entry)).ok_or(format!("no child is {what}"))?;
        descriptor(entry)
    };
    Ok(Children {
        mesh: first("for linux/amd64, which Istio and Envoy Gateway take", &|entry| platform(entry, "linux", "amd64"))?,
        wasm: first("for wasip1/wasm", &|entry| platform(entry, "wasip1", "wasm"))?,
        files: first("of files", &|entry| platform(entry, "unknown", "unknown"))?,
    })
}

/// The layer that Istio and Envoy Gateway unpack.
pub(crate) fn mesh_layer(manifest: &Value) -> Result<Descriptor, String> {
    is_manifest(manifest)?;
    let last = layers(manifest).last().copied().ok_or("no layer")?;
    match text(last, "mediaType") {
        TAR_GZIP => descriptor(last),
        other => Err(format!("its last layer is {other:?} and not {TAR_GZIP:?}: Istio and Envoy Gateway refuse it")),
    }
}

/// The layer that CNCF's tools run.
pub(crate) fn wasm_layer(manifest: &Value) -> Result<Descriptor, String> {
    is_manifest(manifest)?;
    let config = manifest.get("config").map(|config| text(config, "mediaType")).unwrap_or_default();
    if config != WASM_CONFIG {
        return Err(format!("its configuration is {config:?} and not {WASM_CONFIG:?}"));
    }
    match layers(manifest).as_slice() {
        [layer] if text(layer, "mediaType") == WASM => descriptor(layer),
        [layer] => Err(format!("its layer is {:?} and not {WASM:?}", text(layer, "mediaType"))),
        many => Err(format!("it has {} layers, and must have one", many.len())),
    }
}

/// The files, by names that lead nowhere else.
pub(crate) fn files(manifest: &Value) -> Result<Vec<Titled>, String> {
    is_manifest(manifest)?;
    if text(manifest, "artifactType") != FILES {
        return Err(format!("it is of type {:?} and not {FILES:?}", text(manifest, "artifactType")));
    }
    let titled = layers(manifest).into_iter().map(|layer| {
        let name = layer.get("annotations").map(|annotations| text(annotations, TITLE)).unwrap_or_default();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if name.is_empty() || !plain || name.starts_with('.') {
            return Err(format!("{name:?} is no file's name"));
        }
        Ok(Titled { name: name.to_owned(), blob: descriptor(layer)? })
    });
    titled.collect()
}

/// `plugin.wasm` out of a layer for meshes.
pub(crate) fn plugin(layer: &[u8]) -> Result<Vec<u8>, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(layer).take(MAX_PLUGIN));
    let told = |error: std::io::Error| format!("its layer is no tar+gzip: {error}");
    for entry in archive.entries().map_err(told)? {
        let mut entry = entry.map_err(told)?;
        if entry.path().map_err(told)?.to_str() == Some(PLUGIN) {
            let mut module = Vec::new();
            entry.read_to_end(&mut module).map_err(told)?;
            return Ok(module);
        }
    }
    Err(format!("its layer has no {PLUGIN}"))
}

fn is_manifest(manifest: &Value) -> Result<(), String> {
    let kind = text(manifest, "mediaType");
    if kind == MANIFEST { Ok(()) } else { Err(format!("it is {kind:?} and not {MANIFEST:?}")) }
}

fn layers(manifest: &Value) -> Vec<&Value> {
    manifest.get("layers").and_then(Value::as_array).into_iter().flatten().collect()
}

fn descriptor(value: &Value) -> Result<Descriptor, String> {
    let digest = text(value, "digest");
    let is_digest = digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    let size = value.get("size").and_then(Value::as_u64);
    match (is_digest, size) {
        (true, Some(size)) => Ok(Descriptor { digest: digest.to_owned(), size }),
        _ => Err(format!("{digest:?} is no sha256 digest with a size")),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::module::{facts, tests::module};
    use super::super::package::{Package, pack};
    use super::*;
    use serde_json::json;

    fn package() -> (Vec<u8>, Package) {
        let module = module("0.1.0");
        let package = pack(&facts(&module).expect("facts"), &module, b"{\"config_schema\": {}}").expect("a package");
        (module, package)
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("JSON")
    }

    #[test]
    fn every_consumer_finds_the_same_module() {
        let (module, package) = package();
        let children = children(&value(&package.index.bytes)).expect("children");
        let manifest = |child: &Descriptor| {
            value(&package.manifests.iter().find(|blob| blob.digest == child.digest).expect("a manifest").bytes)
        };
        let blob = |of: &Descriptor| {
            let blob = package.blobs.iter().find(|blob| blob.digest == of.digest).expect("a blob");
            assert_eq!(blob.bytes.len() as u64, of.size);
            blob.bytes.clone()
        };
        assert_eq!(plugin(&blob(&mesh_layer(&manifest(&children.mesh)).expect("a layer"))).expect("a module"), module);
        assert_eq!(blob(&wasm_layer(&manifest(&children.wasm)).expect("a layer")), module);
        let files = files(&manifest(&children.files)).expect("files");
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["circuit_breaker.wasm", "circuit_breaker.meta.json"]);
        assert_eq!(blob(&files[0].blob), module);
    }

    #[test]
    fn what_meshes_cant_load_is_told_before_it_is_promoted() {
        let (_, package) = package();
        let [mesh, wasm, files] = [0, 1, 2].map(|n| value(&package.manifests[n].bytes));
        assert!(
            mesh_layer(&wasm).expect_err("a lone application/wasm layer").contains("Istio and Envoy Gateway refuse it")
        );
        assert!(wasm_layer(&mesh).expect_err("no artifact").contains("configuration"));
        let mut two = wasm.clone();
        two["layers"] = json!([wasm["layers"][0], wasm["layers"][0]]);
        assert!(wasm_layer(&two).expect_err("two layers").contains("2 layers"));
        assert!(children(&mesh).expect_err("an image").contains("no index"));
        let mut hostile = files;
        hostile["layers"][0]["annotations"][TITLE] = json!("../../etc/passwd");
        assert!(super::files(&hostile).expect_err("a path").contains("no file's name"));
    }

    #[test]
    fn an_archive_that_isnt_one_is_refused() {
        assert!(plugin(b"no gzip").is_err());
        let (_, package) = package();
        let layer = package.blobs.iter().find(|blob| blob.media_type == TAR_GZIP).expect("a layer");
        for end in [0, 10, layer.bytes.len() / 2] {
            assert!(plugin(&layer.bytes[..end]).is_err(), "cut at {end}");
        }
    }
}

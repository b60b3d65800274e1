//! One version of a module as every consumer wants it, ready to be pushed: values, no network.
//!
//! | child of the index | platform | who loads it | what is in it |
//! |---|---|---|---|
//! | compat image | linux/amd64 | Istio, Envoy Gateway | one layer, `tar+gzip`, with `plugin.wasm` |
//! | CNCF artifact | wasip1/wasm | wkg, containerd, Spin | one layer, `application/wasm` |
//! | files | unknown/unknown | Kong, bare Envoy: `holdfastctl pull`, `oras pull` | the module and its `.meta.json`, by their names |
//!
//! The same inputs give the same bytes: times are zero.

use super::module::Facts;
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const WASM: &str = "application/wasm";
pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const META: &str = "application/vnd.holdfast.kong.meta.v1+json";
pub(crate) const FILES: &str = "application/vnd.holdfast.files.v1";
/// The file that Istio and Envoy Gateway look for.
pub(crate) const PLUGIN: &str = "plugin.wasm";
/// A name that `oras pull` gives a file.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
/// Long ago: a build says nothing of the day that it was made on.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Bytes under their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) media_type: &'static str,
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
}

/// All of one version.
#[derive(Debug)]
pub(crate) struct Package {
    /// Layers and configurations.
    pub(crate) blobs: Vec<Blob>,
    /// The index's children, in its order.
    pub(crate) manifests: Vec<Blob>,
    /// What the tag names.
    pub(crate) index: Blob,
}

/// `sha256:…`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// In lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Packs a module, and what Kong reads beside it.
pub(crate) fn pack(facts: &Facts, module: &[u8], meta: &[u8]) -> Result<Package, String> {
    let wasm = Blob::new(WASM, module.to_vec());
    let (compat, compat_blobs) = compat(facts, module)?;
    let (artifact, artifact_config) = artifact(facts, &wasm);
    let (files, files_blobs) = files(facts, &wasm, meta);
    let children = [
        child(&compat, &json!({"architecture": "amd64", "os": "linux"})),
        child(&artifact, &json!({"architecture": "wasm", "os": "wasip1"})),
        // Nobody runs it: without a platform it would be taken for linux/amd64. Its type is in itself alone, because skopeo 1.9 takes `artifactType`
        // out of an index, and so changes its digest.
        child(&files, &json!({"architecture": "unknown", "os": "unknown"})),
    ];
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children, "annotations": annotations(facts)});
    let mut blobs = vec![wasm, artifact_config];
    blobs.extend(compat_blobs.into_iter().chain(files_blobs));
    Ok(Package { blobs, manifests: vec![compat, artifact, files], index: Blob::json(INDEX, &index) })
}

fn compat(facts: &Facts, module: &[u8]) -> Result<(Blob, [Blob; 2]), String> {
    let tar = tar(module).map_err(|error| format!("can't pack {PLUGIN}: {error}"))?;
    let layer = Blob::new(TAR_GZIP, gzip(&tar).map_err(|error| format!("can't compress {PLUGIN}: {error}"))?);
    let config = Blob::json(
        IMAGE_CONFIG,
        &json!({
            "architecture": "amd64", "os": "linux", "created": CREATED, "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&tar)]},
            "history": [{"created": CREATED, "created_by": "holdfastctl push"}],
        }),
    );
    let manifest = manifest(facts, None, &config, &[layer.descriptor()]);
    Ok((manifest, [layer, config]))
}

fn artifact(facts: &Facts, wasm: &Blob) -> (Blob, Blob) {
    let config = Blob::json(
        WASM_CONFIG,
        &json!({"created": CREATED, "architecture": "wasm", "os": "wasip1", "layerDigests": [wasm.digest]}),
    );
    (manifest(facts, None, &config, &[wasm.descriptor()]), config)
}

fn files(facts: &Facts, wasm: &Blob, meta: &[u8]) -> (Blob, [Blob; 2]) {
    let (meta, empty) = (Blob::new(META, meta.to_vec()), Blob::new(EMPTY, b"{}".to_vec()));
    let name = &facts.name;
    let layers = [wasm.titled(&format!("{name}.wasm")), meta.titled(&format!("{name}.meta.json"))];
    (manifest(facts, Some(FILES), &empty, &layers), [meta, empty])
}

fn manifest(facts: &Facts, kind: Option<&str>, config: &Blob, layers: &[Value]) -> Blob {
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(), "layers": layers, "annotations": annotations(facts),
    });
    if let (Some(kind), Some(fields)) = (kind, manifest.as_object_mut()) {
        fields.insert("artifactType".to_owned(), kind.into());
    }
    Blob::json(MANIFEST, &manifest)
}

fn child(manifest: &Blob, platform: &Value) -> Value {
    let mut entry = manifest.descriptor();
    if let Some(fields) = entry.as_object_mut() {
        fields.insert("platform".to_owned(), platform.clone());
    }
    entry
}

fn annotations(facts: &Facts) -> Map<String, Value> {
    let own = |name: &str| format!("org.opencontainers.image.{name}");
    let pairs = [
        (own("title"), &facts.name),
        (own("version"), &facts.version),
        (own("revision"), &facts.git),
        (own("source"), &facts.source),
        (own("licenses"), &facts.license),
        ("dev.holdfast.abi".to_owned(), &facts.abi),
    ];
    let told = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| (name, value.as_str().into())).collect()
}

fn tar(module: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, PLUGIN, module)?;
    builder.into_inner()
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

// === impl Blob ===

impl Blob {
    pub(crate) fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: digest(&bytes), bytes }
    }

    fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }

    fn titled(&self, name: &str) -> Value {
        let mut descriptor = self.descriptor();
        if let Some(fields) = descriptor.as_object_mut() {
            fields.insert("annotations".to_owned(), json!({TITLE: name}));
        }
        descriptor
    }
}

#[cfg(test)]
mod tests {
    use super::super::module::{facts, tests::module};
    use super::*;

    #[test]
    fn the_same_module_gives_the_same_package() {
        let module = module("0.1.0");
        let pack = || pack(&facts(&module).expect("facts"), &module, b"{}").expect("a package");
        let (one, other) = (pack(), pack());
        assert_eq!(one.index, other.index);
        assert_eq!((one.manifests.len(), one.blobs.len()), (3, 6));
        assert!(one.blobs.iter().chain(&one.manifests).all(|blob| blob.digest == digest(&blob.bytes)));
    }

    #[test]
    fn the_image_for_meshes_has_the_module_as_plugin_wasm() {
        let module = module("0.1.0");
        let tar = tar(&module).expect("a tar");
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut entries = archive.entries().expect("entries");
        let entry = entries.next().expect("one").expect("good");
        assert_eq!(entry.path().expect("a path").to_str(), Some(PLUGIN));
        assert_eq!(entry.size(), module.len() as u64);
        assert!(entries.next().is_none());
    }
}

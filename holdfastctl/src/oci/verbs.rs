//! `push`, `pull`, `list`, `inspect`, `verify`. Each answers with what it did, as JSON, and as lines.

use super::layout::{self, Children, Descriptor};
use super::module::{Facts, facts};
use super::package::{digest, pack};
use super::registry::{Access, Repository};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// For programs, and for people.
pub(crate) type Answer = (Value, String);

/// Everything that a tag names, checked against its digests.
struct Contents {
    digest: String,
    children: Children,
    facts: Facts,
    /// As Istio, as CNCF's tools, and as Kong and Envoy would load it.
    modules: [Vec<u8>; 3],
    files: Vec<(String, Vec<u8>)>,
}

/// Packs a module, and what is beside it, and uploads it under its version.
pub(crate) fn push(reference: &str, module: &Path, access: &Access) -> Result<Answer, String> {
    let repository = Repository::new(reference, access)?;
    let bytes = read(module)?;
    let facts = facts(&bytes).map_err(|error| format!("{}: {error}", module.display()))?;
    let tag = tag_for(&repository, &facts)?;
    let meta = read(&module.with_extension("meta.json"))?;
    let package = pack(&facts, &bytes, &meta)?;
    repository.sign_in()?;
    let pushed = match repository.digest_of(&tag)? {
        Some(there) if there == package.index.digest => false,
        Some(there) => {
            return Err(format!(
                "{reference} is there already, as {there}: a version never changes; give this one another"
            ));
        }
        None => {
            package.blobs.iter().try_for_each(|blob| repository.push_blob(blob))?;
            package.manifests.iter().try_for_each(|manifest| repository.push_manifest(manifest, None))?;
            // Last: until then nothing has that name.
            repository.push_manifest(&package.index, Some(&tag))?;
            true
        }
    };
    let contents = fetch(&repository)?;
    let (mut answer, lines) = pins(reference, &contents);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("pushed".to_owned(), pushed.into());
    }
    let word = if pushed { "pushed" } else { "was there already, the same" };
    Ok((answer, format!("{reference} {word}\n{lines}")))
}

/// The tag is the module's version, or begins with it: `0.1.0`, `0.1.0-rc.1`.
fn tag_for(repository: &Repository, facts: &Facts) -> Result<String, String> {
    let version = &facts.version;
    let tag = repository.reference.tag().unwrap_or_default();
    let rest = tag.strip_prefix('v').unwrap_or(tag).strip_prefix(version.as_str());
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with('-') => Ok(tag.to_owned()),
        _ => Err(format!("the tag {tag:?} isn't the module's version: {version}, or {version}-<something>")),
    }
}

/// Downloads a module and what Kong reads beside it; nothing is written unless all of it is right.
pub(crate) fn pull(reference: &str, folder: &Path, access: &Access) -> Result<Answer, String> {
    let repository = Repository::new(reference, access)?;
    let contents = fetch(&repository)?;
    agree(&contents)?;
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut written = Vec::new();
    for (name, bytes) in &contents.files {
        written.push(write(folder, name, bytes)?.display().to_string());
    }
    let text = format!("{reference} ({})\n{}\n", contents.digest, written.join("\n"));
    Ok((json!({"reference": reference, "digest": contents.digest, "files": written}), text))
}

/// By rename: whoever reads it sees all of it, or what was there before.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
    let (path, part) = (folder.join(name), folder.join(format!(".{name}.part")));
    let done = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, &path));
    done.map(|()| path.clone()).map_err(|error| {
        let _ = std::fs::remove_file(&part);
        format!("{}: {error}", path.display())
    })
}

/// The versions that there are.
pub(crate) fn list(reference: &str, access: &Access) -> Result<Answer, String> {
    let repository = Repository::new(reference, access)?;
    let mut tags = repository.tags()?;
    tags.sort();
    let mut rows = Vec::new();
    for tag in tags {
        if let Some(digest) = repository.digest_of(&tag)? {
            rows.push((tag, digest));
        }
    }
    let text = rows.iter().fold(String::new(), |text, (tag, digest)| format!("{text}{tag}  {digest}\n"));
    let one = |(tag, digest): &(String, String)| json!({"tag": tag, "digest": digest});
    Ok((json!({"repository": reference, "tags": rows.iter().map(one).collect::<Vec<_>>()}), text))
}

/// What a tag names, and what to pin.
pub(crate) fn inspect(reference: &str, access: &Access) -> Result<Answer, String> {
    let contents = fetch(&Repository::new(reference, access)?)?;
    Ok(pins(reference, &contents))
}

/// Whether every consumer can load it, all load the same, and it is what somebody expects.
pub(crate) fn verify(
    reference: &str,
    pin: Option<&str>,
    module: Option<&Path>,
    access: &Access,
) -> Result<Answer, String> {
    let contents = fetch(&Repository::new(reference, access)?)?;
    agree(&contents)?;
    let own = &contents.modules[0];
    let known = [&contents.digest, &contents.children.mesh.digest, &contents.children.wasm.digest, &digest(own)];
    if let Some(pin) = pin.filter(|pin| !known.iter().any(|known| known == pin)) {
        return Err(format!("{reference} isn't {pin} any more: the tag is {} now", contents.digest));
    }
    if let Some(path) = module
        && read(path)? != *own
    {
        return Err(format!("{reference} has another module than {}: {}", path.display(), digest(own)));
    }
    let (answer, lines) = pins(reference, &contents);
    Ok((answer, format!("{reference}: every consumer finds the same module\n{lines}")))
}

/// All three are the same, and are what their tag says.
fn agree(contents: &Contents) -> Result<(), String> {
    let [mesh, wasm, file] = &contents.modules;
    if mesh != wasm || wasm != file {
        return Err("its children have different modules".to_owned());
    }
    Ok(())
}

fn fetch(repository: &Repository) -> Result<Contents, String> {
    let told = |error: String| format!("{}: {error}", repository.reference);
    let (index, digest) = repository.named()?;
    let children = layout::children(&json(&index)?).map_err(told)?;
    let manifest = |of: &Descriptor| json(&repository.manifest(&of.digest)?);
    let blob = |of: &Descriptor| repository.blob(&of.digest, of.size);
    let mesh = layout::mesh_layer(&manifest(&children.mesh)?).map_err(told)?;
    let mesh = layout::plugin(&blob(&mesh)?).map_err(told)?;
    let wasm = blob(&layout::wasm_layer(&manifest(&children.wasm)?).map_err(told)?)?;
    let titled = layout::files(&manifest(&children.files)?).map_err(told)?;
    let files = titled.iter().map(|file| Ok((file.name.clone(), blob(&file.blob)?)));
    let files: Vec<(String, Vec<u8>)> = files.collect::<Result<_, String>>()?;
    let ends = |name: &str| Path::new(name).extension().is_some_and(|end| end == "wasm");
    let file = files.iter().find(|(name, _)| ends(name)).ok_or_else(|| told("no module among its files".to_owned()))?;
    let facts = facts(&file.1).map_err(told)?;
    let modules = [mesh, wasm, file.1.clone()];
    Ok(Contents { digest, children, facts, modules, files })
}

/// What to pin, for each consumer: they compare different digests.
fn pins(reference: &str, contents: &Contents) -> Answer {
    let Contents { digest: index, children, facts, modules, .. } = contents;
    let module = digest(&modules[0]);
    let sha256 = module.trim_start_matches("sha256:");
    let answer = json!({
        "reference": reference, "digest": index, "name": facts.name, "version": facts.version, "git": facts.git,
        "pins": {"envoy_remote_sha256": sha256, "istio": children.mesh.digest, "envoy_gateway": children.mesh.digest, "cncf": children.wasm.digest, "kong": index},
    });
    let text = format!(
        "{} {} ({}), {} bytes\npin
  Envoy, code.remote.sha256         {sha256}
  Istio, Envoy Gateway              {}
  CNCF's tools                      {}
  Kong, holdfastctl pull/verify     {index}\n",
        facts.name,
        facts.version,
        facts.git,
        modules[0].len(),
        children.mesh.digest,
        children.wasm.digest,
    );
    (answer, text)
}

fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("a manifest that is no JSON: {error}"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

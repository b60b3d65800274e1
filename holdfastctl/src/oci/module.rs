//! What a module says of itself, in the custom section `holdfast` that the build puts at its end.

use serde_json::Value;

/// The section's name.
const SECTION: &str = "holdfast";
/// `\0asm`, version 1.
const HEADER: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

/// What a module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The file's name, without `.wasm`: `circuit_breaker`.
    pub(crate) name: String,
    /// Semantic.
    pub(crate) version: String,
    /// The commit that it was built of.
    pub(crate) git: String,
    /// Where that commit is.
    pub(crate) source: String,
    /// SPDX.
    pub(crate) license: String,
    /// What it speaks with its proxy: `proxy-wasm 0.2.1`.
    pub(crate) abi: String,
}

/// Reads them.
pub(crate) fn facts(module: &[u8]) -> Result<Facts, String> {
    let section =
        section(module)?.ok_or("the module doesn't say what it is: it wasn't built by `cargo xtask build`")?;
    let json: Value = serde_json::from_slice(section).map_err(|error| format!("its section {SECTION}: {error}"))?;
    let field = |name: &str| {
        json.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(format!("its section {SECTION} has no {name}"))
    };
    Ok(Facts {
        name: field("name")?,
        version: field("version")?,
        git: field("git")?,
        source: field("source")?,
        license: field("license")?,
        abi: field("abi")?,
    })
}

/// The last custom section of our name.
fn section(module: &[u8]) -> Result<Option<&[u8]>, String> {
    let mut rest = module.strip_prefix(&HEADER).ok_or("no WebAssembly module")?;
    let mut found = None;
    while let Some((id, after)) = rest.split_first() {
        let (size, after) = number(after).ok_or("a section without a size")?;
        let content = after.get(..size).ok_or("the module ends within a section")?;
        rest = after.get(size..).unwrap_or_default();
        if *id == 0 {
            let (length, named) = number(content).ok_or("a custom section without a name")?;
            if named.get(..length) == Some(SECTION.as_bytes()) {
                found = named.get(length..);
            }
        }
    }
    Ok(found)
}

/// LEB128, of 32 bits.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (n, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f).checked_shl(u32::try_from(n).ok()? * 7)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(n + 1..)?));
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The smallest module that says of itself that it is this version.
    pub(in super::super) fn module(version: &str) -> Vec<u8> {
        let json = format!(
            r#"{{"name":"circuit_breaker","version":"{version}","git":"abcdef12","source":"https://example.com/holdfast","license":"Apache-2.0","abi":"proxy-wasm 0.2.1"}}"#
        );
        let content = [&[8], SECTION.as_bytes(), json.as_bytes()].concat();
        let size = content.len();
        let leb = [u8::try_from(size & 0x7f).expect("7 bits") | 0x80, u8::try_from(size >> 7).expect("7 bits")];
        [&HEADER[..], &[0], &leb, &content].concat()
    }

    #[test]
    fn a_module_says_what_it_is() {
        let facts = facts(&module("0.1.0")).expect("facts");
        assert_eq!((facts.name.as_str(), facts.version.as_str()), ("circuit_breaker", "0.1.0"));
        assert_eq!(facts.git, "abcdef12");
    }

    #[test]
    fn what_is_no_module_or_not_ours_is_told_so() {
        assert_eq!(facts(b"\0asm").expect_err("short"), "no WebAssembly module");
        assert!(facts(&HEADER).expect_err("nothing in it").contains("doesn't say what it is"));
        let whole = module("0.1.0");
        for end in 9..whole.len() {
            assert!(facts(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}

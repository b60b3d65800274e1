//! What a module says of itself, in a custom section at its end. `holdfastctl` reads it, and no proxy does.

/// The section's name.
const SECTION: &str = "holdfast";
/// What the modules speak with their proxies.
const ABI: &str = "proxy-wasm 0.2.1";
/// Where the commit is; empty until the workspace says it (`repository` in `Cargo.toml`).
const SOURCE: &str = env!("CARGO_PKG_REPOSITORY");

/// The module with what it is.
pub(super) fn append(module: &[u8], name: &str, git: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"name":"{name}","version":"{}","git":"{git}","source":"{SOURCE}","license":"{}","abi":"{ABI}"}}"#,
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_LICENSE"),
    );
    let content = [number(SECTION.len()).as_slice(), SECTION.as_bytes(), json.as_bytes()].concat();
    [module, &[0], &number(content.len()), &content].concat()
}

/// LEB128.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_at_the_end_and_nothing_else_changes() {
        let module = b"\0asm\x01\0\0\0";
        let told = append(module, "a_module_with_a_long_name", "abcdef12");
        assert!(told.starts_with(module));
        let section = &told[module.len()..];
        // 0: a custom section. Its size takes two bytes.
        assert_eq!(section[0], 0);
        let size = usize::from(section[1] & 0x7f) | usize::from(section[2]) << 7;
        assert_eq!((section[1] & 0x80, section.len()), (0x80, 3 + size));
        assert_eq!(&section[3..12], b"\x08holdfast");
        let json: String = section[12..].iter().map(|byte| char::from(*byte)).collect();
        assert!(
            json.starts_with(r#"{"name":"a_module_with_a_long_name","version":""#)
                && json.contains(r#""git":"abcdef12""#),
            "{json}"
        );
    }

    #[test]
    fn numbers_are_leb128() {
        for (value, bytes) in [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (624_485, vec![0xe5, 0x8e, 0x26])]
        {
            assert_eq!(number(value), bytes);
        }
    }
}

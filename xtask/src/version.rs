//! Versions as programs print them.

use std::fmt;

/// `major.minor.patch`, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

// === impl Version ===

impl Version {
    pub(crate) const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// The first `x.y.z` in a text: `rustc 1.96.0 (…)`, `v20.20.2`, or Envoy's `version: <hash>/1.40.0/Clean/…`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let parts: Vec<u32> = word.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        match parts[..] {
            [major, minor, patch] => Some(Self::new(major, minor, patch)),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        let envoy = "envoy  version: 1d5e48.7a/1.40.0/Clean/RELEASE/BoringSSL";
        assert_eq!(Version::find(envoy), Some(Version::new(1, 40, 0)));
        assert_eq!(Version::find("rustc 1.96.0 (ac68faa20 2026-05-25)"), Some(Version::new(1, 96, 0)));
        assert_eq!(Version::find("v20.20.2\n"), Some(Version::new(20, 20, 2)));
        assert_eq!(Version::find("no version 1.2 here"), None);
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(Version::new(1, 9, 9) < Version::new(1, 36, 4));
        assert_eq!(Version::new(1, 36, 4).to_string(), "1.36.4");
    }
}

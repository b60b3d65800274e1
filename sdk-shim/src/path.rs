//! Request paths.

/// Whether a path (without its query) lies below another: `/api` covers `/api` and `/api/x`, not `/apix`; `/` covers all.
pub fn is_below(path: &[u8], top: &str) -> bool {
    let whole = |rest: &[u8]| rest.is_empty() || rest.starts_with(b"/") || top.ends_with('/');
    path.strip_prefix(top.as_bytes()).is_some_and(whole)
}

/// A path without its query.
pub fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_at_slashes() {
        assert!(
            is_below(b"/api", "/api") && is_below(b"/api/x", "/api") && is_below(b"/x", "/") && is_below(b"/", "/")
        );
        assert!(!is_below(b"/apix", "/api") && !is_below(b"/", "/api") && !is_below(b"", "/"));
    }

    #[test]
    fn a_query_is_no_path() {
        assert_eq!(without_query(b"/graphql?query={a}"), b"/graphql");
        assert_eq!((without_query(b"/graphql"), without_query(b"")), (&b"/graphql"[..], &b""[..]));
    }
}

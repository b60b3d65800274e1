//! The request's target, as `:path` has it: a path, and parameters after the first `?`.
//!
//! Bytes stay bytes: `%41` and `A` are two things here. A retry comes with the bytes of the first try, and who decodes for a service must
//! decode exactly as that service does.

/// The path, without the query.
pub fn path(target: &[u8]) -> &[u8] {
    target.split(|byte| *byte == b'?').next().unwrap_or_default()
}

/// The values of one query parameter, in the order in which they came. `?a` is `?a=`, as forms have it.
pub fn parameter<'a>(target: &'a [u8], name: &str) -> Vec<&'a [u8]> {
    let query = target.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
    let pairs = query.split(|byte| *byte == b'&').map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    });
    pairs.filter(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_ends_at_the_first_question_mark() {
        assert_eq!(path(b"/a/b?c=d?e"), b"/a/b");
        assert_eq!(path(b"/a%3Fb"), b"/a%3Fb");
        assert_eq!((path(b""), path(b"?a")), (&b""[..], &b""[..]));
    }

    #[test]
    fn parameters_are_bytes_in_the_order_in_which_they_came() {
        let target = b"/p?a=1&b=2&a=&a&A=9&a=x=y&%61=7&a=?";
        assert_eq!(parameter(target, "a"), [&b"1"[..], b"", b"", b"x=y", b"?"]);
        assert_eq!(parameter(target, "%61"), [b"7"]);
        assert_eq!(parameter(target, "c"), Vec::<&[u8]>::new());
        assert_eq!(parameter(b"/p", "a"), Vec::<&[u8]>::new());
    }
}

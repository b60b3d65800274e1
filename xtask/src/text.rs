//! Small pieces of text.

/// The last `lines` lines.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// What the failed tests among all the others said, by cargo's own marks: of each at most `lines` lines.
pub(crate) fn failed_tests(output: &str, lines: usize) -> String {
    let mut shown = Vec::new();
    let mut left = 0;
    for line in output.lines() {
        match line {
            _ if line.starts_with("---- ") && line.ends_with(" ----") => left = lines,
            "failures:" => left = 0,
            _ if line.starts_with("test result: ") => left = 0,
            _ => {}
        }
        if left > 0 && !line.is_empty() {
            left -= 1;
            shown.push(line);
        }
    }
    shown.join("\n")
}

/// The last line that isn't blank.
pub(crate) fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// The first line: an error's own words, without the output it carries.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// At most `width` characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// A file name: lower-case letters, digits and single hyphens.
pub(crate) fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { ' ' };
    text.chars().map(plain).collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
}

/// Moves each line to the right, so that a command's output stands apart from ours.
pub(crate) fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}

/// An error and its causes, outermost first.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because: ")
}

/// How many tests passed, by cargo's own result lines.
pub(crate) fn tests_passed(output: &str) -> u32 {
    let results = output.lines().filter_map(|line| line.trim().strip_prefix("test result: ok. "));
    results.filter_map(|rest| rest.split(' ').next()?.parse::<u32>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_texts() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
        assert_eq!(last_line("one\ntwo \n\n"), "two");
        assert_eq!(last_line(""), "");
        assert_eq!(first_line("one\ntwo"), "one");
        assert_eq!(cut("héllo", 2), "hé");
    }

    #[test]
    fn slugs_are_file_names() {
        assert_eq!(slug("Envoy 1.40.0: tests / all"), "envoy-1.40.0-tests-all");
    }

    #[test]
    fn test_counts_are_summed() {
        let output = "test result: ok. 12 passed; 0 failed\nnoise\ntest result: ok. 3 passed; 0 failed; 1 ignored";
        assert_eq!(tests_passed(output), 15);
        assert_eq!(tests_passed("test result: FAILED. 1 passed; 1 failed"), 0);
    }

    #[test]
    fn what_failed_tests_said_is_found_in_long_outputs() {
        let output = "running 2 tests\n\nfailures:\n\n---- a stdout ----\nwhy\nand\nmore\n\n---- b stdout ----\nno\n\n\nfailures:\n    a\n    b\n\ntest result: FAILED.";
        assert_eq!(failed_tests(output, 2), "---- a stdout ----\nwhy\n---- b stdout ----\nno");
        assert_eq!(failed_tests("test result: ok. 1 passed", 2), "");
    }

    #[test]
    fn causes_follow_their_error() {
        let error = anyhow::anyhow!("no route").context("can't fetch");
        assert_eq!(chain(&error), "can't fetch\n  because: no route");
    }
}

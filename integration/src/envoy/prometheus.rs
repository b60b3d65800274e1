//! Envoy's Prometheus page, read well enough to assert on names, labels and values.

use std::collections::BTreeMap;

/// All series of a page.
#[derive(Clone, Debug, Default)]
pub struct Prometheus {
    series: Vec<Series>,
}

/// One line: a metric with its labels and value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Metric name, with `_bucket`, `_sum`, `_count` where it is part of a histogram.
    pub name: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

// === impl Prometheus ===

impl Prometheus {
    /// Reads the text format; lines that are no series are passed over.
    pub fn parse(text: &str) -> Self {
        Self { series: text.lines().filter(|line| !line.starts_with('#')).filter_map(Series::parse).collect() }
    }

    /// All series of a metric.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |series| series.name == name)
    }

    /// Sum over the series of a metric that carry all these labels; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name).filter(|series| series.has(labels)).map(|series| series.value).sum()
    }

    /// Names that begin with `prefix`, sorted, each once.
    pub fn names(&self, prefix: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort_unstable();
        names.dedup();
        names
    }
}

// === impl Series ===

impl Series {
    fn parse(line: &str) -> Option<Self> {
        let (id, value) = line.rsplit_once(' ')?;
        let (name, labels) = id.split_once('{').unwrap_or((id, "}"));
        Some(Self { name: name.to_owned(), labels: labels_of(labels.strip_suffix('}')?), value: value.parse().ok()? })
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|found| found == value))
    }
}

fn labels_of(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let Some((value, rest)) = quoted(rest) else { break };
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        text = rest;
    }
    labels
}

/// The text up to the closing quote, unescaped, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next().map(|(_, escaped)| if escaped == 'n' { '\n' } else { escaped })?),
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_label() {
        let page = "# TYPE a counter\na{k=\"x\",r=\"1\"} 2\na{k=\"x\",r=\"2\"} 3\na{k=\"y,\\\"z\"} 4\n\nb{} 1.5\n";
        let page = Prometheus::parse(page);
        assert!((page.sum("a", &[("k", "x")]) - 5.0).abs() < f64::EPSILON);
        assert!((page.sum("a", &[("k", "y,\"z")]) - 4.0).abs() < f64::EPSILON);
        assert_eq!(page.names(""), ["a", "b"]);
    }
}

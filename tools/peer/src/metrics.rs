//! The service's metrics, in the Prometheus text format.

use std::collections::{BTreeMap, BTreeSet};

/// One reading of all metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    samples: Vec<Sample>,
    gauges: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text; lines that are no samples are left out.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let gauges = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" gauge"));
        Self { samples: lines.filter_map(parse_sample).collect(), gauges: gauges.map(str::to_owned).collect() }
    }

    /// The sum over all samples of `name` that carry all of `labels`; zero where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is_labelled = |sample: &Sample| {
            labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(|sample| sample.name == name && is_labelled(sample)).map(|sample| sample.value).sum()
    }

    /// The sums of `name` by the values of `label`.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name == name) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_default() += sample.value;
            }
        }
        sums
    }

    /// All gauges by name and labels: what there is now, in place of what has been.
    pub fn gauges(&self) -> BTreeMap<String, f64> {
        let gauges = self.samples.iter().filter(|sample| self.gauges.contains(&sample.name));
        gauges.map(|sample| (format!("{}{:?}", sample.name, sample.labels), sample.value)).collect()
    }

    /// The names that there are.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.samples.iter().map(|sample| sample.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// `name{key="value",…} value`; label values of the service hold no comma, brace or escape.
fn parse_sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let labels = labels
        .split(',')
        .filter(|label| !label.is_empty())
        .map(|label| {
            let (key, value) = label.split_once('=')?;
            Some((key.trim().to_owned(), value.trim_matches('"').to_owned()))
        })
        .collect::<Option<_>>()?;
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let metrics = Metrics::parse(
            "# HELP drops Drops.\n# TYPE drops counter\n\
             drops_total{shard=\"0\",reason=\"oversized\"} 3\n\
             drops_total{shard=\"1\",reason=\"oversized\"} 4\n\
             drops_total{shard=\"1\",reason=\"rtp_malformed\"} 1\n\
             # TYPE connections gauge\nconnections 2\nbroken{ 1\n# EOF\n",
        );
        assert_eq!(metrics.sum("drops_total", &[("reason", "oversized")]), 7.0);
        assert_eq!(metrics.sum("drops_total", &[]), 8.0);
        assert_eq!(metrics.sum("connections", &[]), 2.0);
        assert_eq!(metrics.sum("absent", &[]), 0.0);
        assert_eq!(metrics.by_label("drops_total", "shard")["1"], 5.0);
        assert_eq!(metrics.gauges(), BTreeMap::from([("connections{}".to_owned(), 2.0)]));
        assert_eq!(metrics.names(), ["connections", "drops_total"]);
    }
}

//! The table, in Markdown.

use std::fmt;

use super::figures::{Figures, Quantiles, Round, median};
use super::row::Row;

/// Medians of all rounds, a line a row.
pub struct Table {
    rows: Vec<(Row, Vec<Round>)>,
}

impl Table {
    pub(super) fn new(rows: Vec<(Row, Vec<Round>)>) -> Self {
        Self { rows }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| load | forwarded/s | shard busy | CPU ns a packet | limit | ratio | in the shard, ms | end to end, ms | \
             lost | kB each | sleeps/s | datagrams a message |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for (row, rounds) in &self.rows {
            write_row(out, *row, rounds)?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "Medians of the rounds; lost: the most of any round. Times are 50 % / 99 % / 99.9 %. The limit is the fastest way of \
             the bare loop at the same arrivals; its name stands beside. kB each: what the service's memory grew by for a participant."
        )?;
        for (row, rounds) in &self.rows {
            let percent = of_rounds(rounds, |figures| figures.throttled_percent);
            // In a saturated row what waits is the row's own.
            if percent > 0.0 && !row.is_saturated() {
                let latency = quantiles(rounds, |figures| figures.latency_unthrottled);
                let share = 100.0 * of_rounds(rounds, |figures| figures.unthrottled_share);
                writeln!(
                    out,
                    "\n- {}: the processor was throttled for {percent:.1} % of the time; \
                     end to end well apart from that ({share:.0} % of the latencies): {latency} ms",
                    row.title()
                )?;
            }
            for reason in rounds.iter().flat_map(|round| &round.figures.invalid_because) {
                writeln!(out, "\n- {}: the load tool was the bottleneck: {reason}", row.title())?;
            }
        }
        Ok(())
    }
}

fn write_row(out: &mut fmt::Formatter<'_>, row: Row, rounds: &[Round]) -> fmt::Result {
    let of = |value: fn(&Figures) -> f64| of_rounds(rounds, value);
    write!(out, "| {}", row.title())?;
    if row.newcomers().is_some() {
        write!(out, ", {:.0} joins/s", of(|figures| figures.joins_per_s.unwrap_or(f64::NAN)))?;
    }
    let cpu_ns = of(|figures| figures.cpu_ns);
    write!(
        out,
        " | {:.0} | {:.1} % | {cpu_ns:.0}",
        of(|figures| figures.forwarded_per_s),
        100.0 * of(|figures| figures.busy)
    )?;
    match fastest(rounds) {
        Some((variant, limit_ns)) => {
            // Each round's service beside that round's limit: what the machine does to one it does to the other.
            let ratio = |round: &Round| Some(round.figures.cpu_ns / round.limit.as_ref()?.0.get(variant)?);
            write!(out, " | {limit_ns:.0} {variant} | {:.2}", median(rounds.iter().filter_map(ratio).collect()))?;
        }
        None => write!(out, " | – | –")?,
    }
    writeln!(
        out,
        " | {} | {} | {:.3} % | {:.1} | {:.0} | {:.2} |",
        quantiles(rounds, |figures| figures.residence),
        quantiles(rounds, |figures| figures.latency),
        rounds.iter().map(|round| round.figures.loss_percent).max_by(f64::total_cmp).unwrap_or(f64::NAN),
        of(|figures| figures.bytes_each / 1000.0),
        of(|figures| figures.sleeps_per_s),
        of(|figures| figures.segments),
    )
}

/// The median of the rounds.
fn of_rounds(rounds: &[Round], value: impl Fn(&Figures) -> f64) -> f64 {
    median(rounds.iter().map(|round| value(&round.figures)).collect())
}

/// The medians of the rounds' quantiles, as text.
fn quantiles(rounds: &[Round], of: fn(&Figures) -> Quantiles) -> String {
    let p50_ms = of_rounds(rounds, |figures| of(figures).p50_ms);
    let p99_ms = of_rounds(rounds, |figures| of(figures).p99_ms);
    let p999_ms = of_rounds(rounds, |figures| of(figures).p999_ms);
    format!("{p50_ms:.2} / {p99_ms:.2} / {p999_ms:.2}")
}

/// The fastest way of the bare loop, by its median over all rounds: the fastest of one round is the luckiest.
fn fastest(rounds: &[Round]) -> Option<(&str, f64)> {
    let limits = || rounds.iter().filter_map(|round| round.limit.as_ref());
    let cost = |variant: &String| median(limits().filter_map(|limit| limit.0.get(variant).copied()).collect());
    let variants = limits().flat_map(|limit| limit.0.keys());
    variants.map(|variant| (variant.as_str(), cost(variant))).min_by(|(_, one), (_, other)| one.total_cmp(other))
}

#[cfg(test)]
mod tests {
    use super::super::figures::Limit;
    use super::*;

    #[test]
    fn a_row_tells_medians_and_the_ratio_round_by_round() {
        let round = |cpu_ns: f64, limit_ns: f64| {
            let figures = Figures { cpu_ns, forwarded_per_s: 1000.0, busy: 0.25, ..Figures::default() };
            // What is faster in a single round is not the fastest.
            let other_ns = if limit_ns > 3000.0 { 1000.0 } else { 9000.0 };
            let limit = [("connected".to_owned(), limit_ns), ("gso".to_owned(), other_ns)];
            Round { figures, limit: Some(Limit(limit.into())) }
        };
        let table =
            Table::new(vec![(Row::OneRoom, vec![round(3000.0, 2000.0), round(6000.0, 2000.0), round(5000.0, 4000.0)])]);
        let text = table.to_string();
        assert!(text.contains("| 1000 | 25.0 % | 5000 | 2000 connected | 1.50 |"), "{text}");
    }

    #[test]
    fn what_any_round_lost_is_told() {
        let round = |loss_percent: f64| Round { figures: Figures { loss_percent, ..Figures::default() }, limit: None };
        let table = Table::new(vec![(Row::OneRoom, vec![round(0.25), round(0.0), round(0.0)])]);
        assert!(table.to_string().contains("| 0.250 % |"), "{table}");
    }

    #[test]
    fn a_processor_that_was_throttled_is_told_with_the_times_of_the_rest() {
        let round = |throttled_percent: f64| {
            let latency_unthrottled = Quantiles { p50_ms: 0.5, p99_ms: 1.25, p999_ms: 2.0 };
            let figures =
                Figures { throttled_percent, latency_unthrottled, unthrottled_share: 0.75, ..Figures::default() };
            Round { figures, limit: None }
        };
        let told = "throttled for 3.3 % of the time; end to end well apart from that (75 % of the latencies): 0.50 / 1.25 / 2.00 ms";
        assert!(Table::new(vec![(Row::OneRoom, vec![round(3.3)])]).to_string().contains(told));
        assert!(!Table::new(vec![(Row::OneRoom, vec![round(0.0)])]).to_string().contains("throttled"));
    }
}

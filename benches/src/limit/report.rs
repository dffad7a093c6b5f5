//! What came out of a run.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Options;
use super::sender::Variant;

/// What one variant did in one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    /// CPU time of the sending thread.
    pub(super) cpu: Duration,
    pub(super) wall: Duration,
    /// Copies that were made.
    pub(super) packets: u64,
    /// Messages that were handed to the kernel.
    pub(super) messages: u64,
    pub(super) calls: u64,
    /// How often the thread slept.
    pub(super) sleeps: u64,
}

/// What a variant costs; medians of all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct VariantReport {
    /// Which.
    pub variant: Variant,
    /// CPU time of the sending thread for one forwarded packet, in nanoseconds.
    pub cpu_ns_per_packet: f64,
    /// The same in the round that had the least.
    pub cpu_ns_per_packet_min: f64,
    /// How many packets a second of that CPU time forwards.
    pub packets_per_cpu_second: f64,
    /// How many packets were forwarded in a second.
    pub packets_per_second: f64,
    /// Messages handed to the kernel for one forwarded packet.
    pub sends_per_packet: f64,
    /// System calls that sent, for one forwarded packet.
    pub calls_per_packet: f64,
    /// How much of its CPU the thread used, in per cent.
    pub cpu_percent: f64,
    /// How often the thread slept, a second.
    pub sleeps_per_second: f64,
}

impl VariantReport {
    pub(super) fn new(variant: Variant, slices: &[Slice]) -> Self {
        let all = |of: &dyn Fn(&Slice) -> f64| -> Vec<f64> {
            let mut all: Vec<f64> = slices.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let median = |of: &dyn Fn(&Slice) -> f64| all(of).get(slices.len() / 2).copied().unwrap_or(f64::NAN);
        let per_packet = |of: u64, slice: &Slice| of as f64 / slice.packets as f64;
        let cpu = |slice: &Slice| slice.cpu.as_nanos() as f64 / slice.packets as f64;
        let cpu_ns_per_packet = median(&cpu);
        Self {
            variant,
            cpu_ns_per_packet,
            cpu_ns_per_packet_min: all(&cpu).first().copied().unwrap_or(f64::NAN),
            packets_per_cpu_second: 1e9 / cpu_ns_per_packet,
            packets_per_second: median(&|slice| slice.packets as f64 / slice.wall.as_secs_f64()),
            sends_per_packet: median(&|slice| per_packet(slice.messages, slice)),
            calls_per_packet: median(&|slice| per_packet(slice.calls, slice)),
            cpu_percent: median(&|slice| 100.0 * slice.cpu.as_secs_f64() / slice.wall.as_secs_f64()),
            sleeps_per_second: median(&|slice| slice.sleeps as f64 / slice.wall.as_secs_f64()),
        }
    }
}

/// A run's report. It is shown as a table.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// What each variant costs, in the order asked for.
    pub variants: Vec<VariantReport>,
    /// Datagrams that were sent, warming up included.
    pub datagrams_sent: u64,
    /// Datagrams that came out on loopback; nothing where a device frees them.
    pub datagrams_drained: Option<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { rooms, members, speakers, packet_len, burst, seed, .. } = self.options;
        write!(out, "{rooms} rooms of {members}, {speakers} speaking: each packet to {}; ", members - 1)?;
        write!(out, "{packet_len}, {burst} at a time, {} a turn; ", self.options.batch())?;
        match self.options.pace {
            Some(pace) => write!(out, "every {pace:?}, gathered for {:?}", self.options.coalesce)?,
            None => write!(out, "free-running")?,
        }
        write!(out, "; {}, seed {seed}", self.options.device.name())?;
        if let Some(drained) = self.datagrams_drained {
            write!(out, "; drained {drained} of {}", self.datagrams_sent)?;
        }
        writeln!(out, "\n")?;
        writeln!(
            out,
            "| variant | CPU ns a packet | least | packets a CPU second | packets/s | sends a packet | calls a packet | CPU % | \
             sleeps/s |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
        for of in &self.variants {
            writeln!(
                out,
                "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.3} | {:.3} | {:.1} | {:.0} |",
                of.variant.name(),
                of.cpu_ns_per_packet,
                of.cpu_ns_per_packet_min,
                of.packets_per_cpu_second,
                of.packets_per_second,
                of.sends_per_packet,
                of.calls_per_packet,
                of.cpu_percent,
                of.sleeps_per_second,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_the_median_and_the_least() {
        let slice = |cpu_us| Slice {
            cpu: Duration::from_micros(cpu_us),
            wall: Duration::from_millis(100),
            packets: 1000,
            messages: 250,
            calls: 10,
            sleeps: 5,
        };
        let report = VariantReport::new(Variant::Gso, &[slice(9000), slice(1000), slice(2000)]);
        assert_eq!((report.cpu_ns_per_packet, report.cpu_ns_per_packet_min), (2000.0, 1000.0));
        assert_eq!((report.packets_per_cpu_second, report.packets_per_second), (500_000.0, 10_000.0));
        assert_eq!((report.sends_per_packet, report.calls_per_packet), (0.25, 0.01));
        assert_eq!((report.cpu_percent.round(), report.sleeps_per_second), (2.0, 50.0));
    }
}

//! RTCP of one transport: sender and receiver reports, and answers to the service's round-trip probes.
//!
//! A sender cannot learn its round trip from its own sender reports at the service's side, so the service asks with an
//! RRTR block and finds its answer in a DLRR block of our next report (RFC 3611 4.4, 4.5).

use std::collections::HashMap;

use bytes::Bytes;
use rtcp::extended_report::{DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock};
use rtcp::packet::Packet;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use rtp::header::Header;

use crate::capabilities::clock_rate_hz;
use crate::reception::LossReport;

/// Blocks in one report: the field that counts them has five bits (RFC 3550 6.4.1).
const BLOCKS_MAX: usize = 31;
/// Senders whose last report is remembered; more than any call of a test has.
const SENDERS_MAX: usize = 4096;
/// Seconds from the NTP epoch, 1900, to the Unix epoch.
const NTP_UNIX_S: u64 = 2_208_988_800;

/// A compound packet's parts.
pub type Compound = Vec<Box<dyn Packet + Send + Sync>>;

/// A stream that we send.
#[derive(Clone, Copy, Debug, Default)]
struct Outgoing {
    packets: u32,
    octets: u32,
    timestamp: u32,
    clock_rate_hz: u32,
    sent_at_ns: u64,
}

/// The middle 32 bits of another's NTP time, and when they came.
#[derive(Clone, Copy, Debug)]
struct Reference {
    compact_ntp: u32,
    arrived_at_ns: u64,
}

/// What the reports of a transport are made of.
pub struct Reports {
    /// The SSRC of reports where we send nothing.
    reporter: u32,
    cname: String,
    outgoing: HashMap<u32, Outgoing>,
    sender_reports: HashMap<u32, Reference>,
    probes: HashMap<u32, Reference>,
}

impl Reports {
    /// Reports of one who goes by `cname`.
    pub fn new(cname: &str) -> Self {
        Self {
            reporter: rand::random(),
            cname: cname.into(),
            outgoing: HashMap::new(),
            sender_reports: HashMap::new(),
            probes: HashMap::new(),
        }
    }

    /// Notes an RTP packet that was sent.
    pub fn on_sent(&mut self, header: &Header, payload_len: usize, now_ns: u64) {
        if self.outgoing.len() < SENDERS_MAX || self.outgoing.contains_key(&header.ssrc) {
            let stream = self.outgoing.entry(header.ssrc).or_default();
            stream.packets = stream.packets.wrapping_add(1);
            stream.octets = stream.octets.wrapping_add(payload_len as u32);
            (stream.timestamp, stream.sent_at_ns) = (header.timestamp, now_ns);
            stream.clock_rate_hz = clock_rate_hz(header.payload_type);
        }
    }

    /// Takes the parts of a compound packet.
    pub fn handle_compound(&mut self, packets: &Compound, arrived_at_ns: u64) {
        for packet in packets {
            let packet = packet.as_any();
            if let Some(report) = packet.downcast_ref::<SenderReport>() {
                let compact_ntp = (report.ntp_time >> 16) as u32;
                remember(&mut self.sender_reports, report.ssrc, Reference { compact_ntp, arrived_at_ns });
            } else if let Some(report) = packet.downcast_ref::<ExtendedReport>() {
                let blocks = report.reports.iter();
                for block in
                    blocks.filter_map(|block| block.as_any().downcast_ref::<ReceiverReferenceTimeReportBlock>())
                {
                    let compact_ntp = (block.ntp_timestamp >> 16) as u32;
                    remember(&mut self.probes, report.sender_ssrc, Reference { compact_ntp, arrived_at_ns });
                }
            }
        }
    }

    /// The compound packet that is due now: a report with what `losses` tell of the streams that are received, our
    /// name, and answers to probes.
    pub fn poll_compound(&mut self, losses: impl Iterator<Item = (u32, LossReport)>, now_ns: u64) -> Compound {
        let mut blocks = Vec::new();
        for (ssrc, report) in losses.take(BLOCKS_MAX) {
            let (last_sender_report, delay) = since(self.sender_reports.get(&ssrc), now_ns);
            blocks.push(ReceptionReport {
                ssrc,
                fraction_lost: report.fraction_lost,
                total_lost: report.total_lost,
                last_sequence_number: report.highest_sequence,
                jitter: report.jitter,
                last_sender_report,
                delay,
            });
        }
        let mut compound: Compound = Vec::new();
        for (&ssrc, stream) in &self.outgoing {
            compound.push(Box::new(sender_report(ssrc, stream, now_ns, std::mem::take(&mut blocks))));
        }
        let reporter = self.outgoing.keys().next().copied().unwrap_or(self.reporter);
        if compound.is_empty() {
            compound.push(Box::new(ReceiverReport {
                ssrc: reporter,
                reports: blocks,
                profile_extensions: Bytes::new(),
            }));
        }
        compound.push(Box::new(self.source_description(reporter)));
        if !self.probes.is_empty() {
            let reports = self.probes.iter().map(|(&ssrc, probe)| {
                let (last_rr, dlrr) = since(Some(probe), now_ns);
                DLRRReport { ssrc, last_rr, dlrr }
            });
            let block = DLRRReportBlock { reports: reports.collect() };
            compound.push(Box::new(ExtendedReport { sender_ssrc: reporter, reports: vec![Box::new(block)] }));
        }
        compound
    }

    fn source_description(&self, source: u32) -> SourceDescription {
        let name = SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: Bytes::from(self.cname.clone()) };
        SourceDescription { chunks: vec![SourceDescriptionChunk { source, items: vec![name] }] }
    }
}

fn remember(table: &mut HashMap<u32, Reference>, ssrc: u32, reference: Reference) {
    if table.len() < SENDERS_MAX || table.contains_key(&ssrc) {
        table.insert(ssrc, reference);
    }
}

/// The time of another's report, and the delay since it came in units of 1/65 536 s; zeros where none came.
fn since(reference: Option<&Reference>, now_ns: u64) -> (u32, u32) {
    reference.map_or((0, 0), |reference| {
        let delay_ns = u128::from(now_ns.saturating_sub(reference.arrived_at_ns));
        (reference.compact_ntp, u32::try_from((delay_ns << 16) / 1_000_000_000).unwrap_or(u32::MAX))
    })
}

fn sender_report(ssrc: u32, stream: &Outgoing, now_ns: u64, reports: Vec<ReceptionReport>) -> SenderReport {
    let since_sent_ns = now_ns.saturating_sub(stream.sent_at_ns);
    SenderReport {
        ssrc,
        ntp_time: ntp_time(now_ns),
        rtp_time: stream
            .timestamp
            .wrapping_add((since_sent_ns * u64::from(stream.clock_rate_hz) / 1_000_000_000) as u32),
        packet_count: stream.packets,
        octet_count: stream.octets,
        reports,
        profile_extensions: Bytes::new(),
    }
}

/// Nanoseconds since the Unix epoch as a 64-bit NTP time (RFC 5905 6).
fn ntp_time(now_ns: u64) -> u64 {
    let (seconds, fraction_ns) = (now_ns / 1_000_000_000, now_ns % 1_000_000_000);
    ((seconds + NTP_UNIX_S) << 32) | ((fraction_ns << 32) / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn header(timestamp: u32) -> Header {
        Header { payload_type: 111, ssrc: 9, timestamp, ..Header::default() }
    }

    /// Through bytes and back, as it would be on the wire.
    fn over_the_wire(compound: &Compound) -> Compound {
        let mut bytes = rtcp::packet::marshal(compound).expect("it can be written");
        rtcp::packet::unmarshal(&mut bytes).expect("it can be read")
    }

    #[test]
    fn a_probe_is_answered_with_its_time_and_the_delay_since() {
        let mut prober = Reports::new("prober");
        prober.on_sent(&header(960), 320, SECOND_NS);
        let probe = ReceiverReferenceTimeReportBlock { ntp_timestamp: 0x0102_0304_0506_0708 };
        let probe: Compound = vec![Box::new(ExtendedReport { sender_ssrc: 9, reports: vec![Box::new(probe)] })];
        let mut reports = Reports::new("peer");
        reports.handle_compound(&over_the_wire(&probe), SECOND_NS);
        let compound = reports.poll_compound(std::iter::empty(), SECOND_NS + SECOND_NS / 2);
        let answer = over_the_wire(&compound);
        let last = answer.last().and_then(|packet| packet.as_any().downcast_ref::<ExtendedReport>().cloned());
        let last = last.expect("the answer ends with an extended report");
        let block = last.reports.first().and_then(|block| block.as_any().downcast_ref::<DLRRReportBlock>());
        let expected = DLRRReport { ssrc: 9, last_rr: 0x0304_0506, dlrr: 0x8000 };
        assert_eq!(block.map(|block| block.reports.clone()), Some(vec![expected]));
    }

    #[test]
    fn a_senders_report_counts_what_was_sent_and_names_the_time_of_now() {
        let mut reports = Reports::new("peer");
        reports.on_sent(&header(1000), 320, SECOND_NS);
        reports.on_sent(&header(1960), 320, SECOND_NS + 20_000_000);
        let compound = over_the_wire(&reports.poll_compound(std::iter::empty(), SECOND_NS + 30_000_000));
        let report = compound[0].as_any().downcast_ref::<SenderReport>().expect("it begins with a sender report");
        assert_eq!((report.packet_count, report.octet_count, report.rtp_time), (2, 640, 1960 + 480));
        assert_eq!(report.ntp_time >> 32, NTP_UNIX_S + 1);
    }
}

//! RTCP, off the packet's way: what peers report, and what is reported to them once a second.

use std::time::{Duration, Instant};

use shard_protocol::limits::CNAME_LEN_MAX;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{MediaKind, Ssrc};

use super::Shard;
use super::keys::{ConsumerKey, PeerKey};
use super::objects::Objects;
use crate::media::Flow;
use crate::packet::SLOT_LEN;
use crate::wire::rtcp::{
    Compound, CompoundWriter, ExtendedReport, NtpTimestamp, Packet, ReportBlocks, ReportItem, SENDER_REPORT_LEN,
    SenderStatement, round_trip, source_description_len,
};

/// Between two reports to one peer. RFC 3550 section 6.2 has five seconds as the least for two-way media; browsers report
/// once a second, and the latency histogram wants round trips as fresh as that.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Reports fall on multiples of this, so that one wake of the shard serves many peers.
const REPORT_SLOT: Duration = Duration::from_millis(250);

/// Bytes of one compound packet: with SRTCP, UDP and IPv6 it keeps below 1280, the least path MTU of IPv6.
pub(super) const COMPOUND_LEN_MAX: usize = 1200;

/// What SRTCP adds at most: a tag of AES-GCM and the index.
const OVERHEAD_MAX: usize = 16 + 4;

/// Bytes of one compound packet as it goes out.
pub(super) const PROTECTED_LEN_MAX: usize = COMPOUND_LEN_MAX + OVERHEAD_MAX;

/// Bytes of one consumer's report with its canonical name.
const STATEMENT_LEN_MAX: usize = SENDER_REPORT_LEN + source_description_len(CNAME_LEN_MAX);

/// The longest round trip that is believed. A call is dead long before; a peer that claims more would spoil the histogram.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(10);

/// Who reports to publishers. Any SSRC does that no consumer has; signaling gives consumers none below 2^16.
pub(super) const REPORTER: Ssrc = Ssrc(1);

/// The reporter's canonical name.
const REPORTER_CNAME: &[u8] = b"voice-service";

impl Shard {
    /// Takes a compound packet of a peer.
    pub(super) fn on_rtcp(&mut self, slot: usize, peer_key: PeerKey, now: Instant) -> Result<(), DropReason> {
        let datagram = self.input.filled_mut()[slot].datagram().ok_or(DropReason::Oversized)?;
        let peer = self.objects.peers.get_mut(peer_key).ok_or(DropReason::UnknownAddress)?;
        let receiver = peer.transport.receiver().ok_or(DropReason::SrtpNoKeys)?;
        let len = receiver.unprotect_rtcp(datagram)?;
        peer.transport.on_authenticated_packet();
        // A copy, because what it asks for changes the shard, of which the input is a part.
        let mut room = [0; SLOT_LEN];
        let (opened, _) = room.split_at_mut(len);
        opened.copy_from_slice(&datagram[..len]);
        let compound = Compound::parse(opened).map_err(|_| DropReason::RtcpMalformed)?;
        for packet in compound.packets() {
            match packet {
                Packet::SenderReport(report) => {
                    self.on_report_blocks(peer_key, report.blocks, now);
                    self.on_sender_report(peer_key, report.ssrc, &report.statement, now);
                }
                Packet::ReceiverReport(report) => self.on_report_blocks(peer_key, report.blocks, now),
                Packet::ExtendedReport(report) => self.on_extended_report(peer_key, report, now),
                Packet::TransportFeedback(feedback) => {
                    if let Some(lost) = feedback.lost()
                        && let Err(reason) = self.on_lost(peer_key, feedback.media, lost, now)
                    {
                        self.stats.drops.add(reason);
                    }
                }
                Packet::PayloadFeedback(feedback) => {
                    for ssrc in feedback.key_frame_requests() {
                        let consumer = self.objects.peers.get(peer_key).and_then(|peer| peer.consumer(ssrc));
                        if let Some(consumer) = consumer {
                            self.want_key_frame(consumer, now);
                        }
                    }
                }
                Packet::SourceDescription | Packet::Goodbye(_) | Packet::Other => {}
            }
        }
        Ok(())
    }

    fn on_report_blocks(&mut self, peer_key: PeerKey, blocks: ReportBlocks<'_>, now: Instant) {
        let Some(peer) = self.objects.peers.get_mut(peer_key) else { return };
        let ntp = self.clock.ntp(now);
        let measured = blocks
            .filter(|block| peer.consumer(block.ssrc).is_some())
            .filter_map(|block| round_trip(ntp, block.last_sender_report, block.delay_since_last_sender_report))
            .filter(|measured| *measured <= ROUND_TRIP_MAX);
        peer.receiver_round_trip = measured.last().or(peer.receiver_round_trip);
    }

    fn on_sender_report(&mut self, peer_key: PeerKey, ssrc: Ssrc, statement: &SenderStatement, now: Instant) {
        let Objects { peers, producers, .. } = &mut self.objects;
        let Some(peer) = peers.get_mut(peer_key) else { return };
        let route = peer.listener.by_ssrc(ssrc).filter(|route| route.flow == Flow::Media);
        let stream = route.and_then(|route| producers.get_mut(route.producer)?.stream_mut(route.encoding));
        if let Some(stream) = stream.filter(|stream| stream.ssrc == ssrc) {
            stream.on_sender_report(statement, now);
            peer.clock.on_sender_report(statement.ntp, self.clock.ntp(now));
        }
    }

    fn on_extended_report(&mut self, peer_key: PeerKey, report: ExtendedReport<'_>, now: Instant) {
        let Some(peer) = self.objects.peers.get_mut(peer_key) else { return };
        let ntp = self.clock.ntp(now);
        for item in report.items() {
            if let ReportItem::ReferenceTimeReply(reply) = item
                && reply.ssrc == REPORTER
            {
                let measured = round_trip(ntp, reply.last_reference_time, reply.delay_since_last_reference_time)
                    .filter(|measured| *measured <= ROUND_TRIP_MAX);
                peer.sender_round_trip = measured.or(peer.sender_round_trip);
            }
        }
    }

    /// Sets the time of a peer's next reports.
    pub(super) fn schedule_reports(&mut self, peer_key: PeerKey, now: Instant) {
        let since_start = (now + REPORT_INTERVAL).saturating_duration_since(self.clock.instant);
        let slots = since_start.as_millis().div_ceil(REPORT_SLOT.as_millis());
        let at = self.clock.instant + REPORT_SLOT * u32::try_from(slots).unwrap_or(u32::MAX);
        if let Some(peer) = self.objects.peers.get_mut(peer_key) {
            peer.reports_at = Some(at);
        }
    }

    /// Reports to a peer if it is time: what it sends is received, and what it receives was sent. A peer with a thousand
    /// consumers can need more than the control batch holds; its reports stay due until the rest has gone out too.
    pub(super) fn report_if_due(&mut self, peer_key: PeerKey, now: Instant) {
        let Some(peer) = self.objects.peers.get_mut(peer_key) else { return };
        if peer.reports_at.is_none_or(|at| now < at) {
            return;
        }
        let consumers = std::mem::take(&mut peer.consumers);
        let from = std::mem::take(&mut peer.reports_from);
        let mut room = [0; COMPOUND_LEN_MAX];
        let mut len = if from == 0 { self.write_receiver_report(peer_key, now, &mut room) } else { 0 };
        let mut left_at = None;
        for (place, (ssrc, consumer)) in consumers.iter().enumerate().skip(from) {
            if room.len() - len < STATEMENT_LEN_MAX {
                self.send_compound(peer_key, &room[..len]);
                len = 0;
                if !self.control.has_room(PROTECTED_LEN_MAX) {
                    left_at = Some(place);
                    break;
                }
            }
            let Some((statement, kind)) = self.take_statement(*consumer, now) else { continue };
            if kind == MediaKind::Audio {
                self.observe_latency(peer_key, *consumer);
            }
            len += self.write_sender_report(*consumer, *ssrc, &statement, &mut room[len..]);
        }
        self.send_compound(peer_key, &room[..len]);
        let Some(peer) = self.objects.peers.get_mut(peer_key) else { return };
        peer.consumers = consumers;
        match left_at {
            Some(place) => peer.reports_from = place,
            None => self.schedule_reports(peer_key, now),
        }
    }

    /// Writes what was received from a peer, with a reference time for it to send back; 0 where nothing was.
    fn write_receiver_report(&mut self, peer_key: PeerKey, now: Instant, room: &mut [u8]) -> usize {
        let Objects { peers, producers, .. } = &mut self.objects;
        let Some(peer) = peers.get(peer_key) else { return 0 };
        let mut has_blocks = false;
        let mut writer = CompoundWriter::new(room);
        for &producer in &peer.producers {
            let Some(producer) = producers.get_mut(producer) else { continue };
            // One report a producer: its few encodings always fit.
            let mut blocks = producer.streams_mut().filter_map(|stream| stream.take_report(now)).peekable();
            if blocks.peek().is_some() {
                has_blocks |= writer.try_receiver_report(REPORTER, blocks);
            }
        }
        if has_blocks {
            writer.try_source_description(REPORTER, REPORTER_CNAME);
            writer.try_reference_time(REPORTER, self.clock.ntp(now));
        }
        writer.len()
    }

    fn take_statement(&mut self, consumer: ConsumerKey, now: Instant) -> Option<(SenderStatement, MediaKind)> {
        let ntp: NtpTimestamp = self.clock.ntp(now);
        let Objects { peers, producers, consumers, .. } = &mut self.objects;
        let consumer = consumers.get_mut(consumer)?;
        let sampled = || {
            let producer = producers.get(consumer.producer)?;
            let theirs = peers.get(producer.transport)?.clock.theirs(ntp)?;
            let clock = consumer.timestamp_clock()?;
            Some((clock, producer.stream(clock)?.timestamp_at(theirs)?))
        };
        let sampled = sampled();
        Some((consumer.take_statement(now, ntp, sampled)?, consumer.kind))
    }

    /// Writes one consumer's report; 0 where it does not fit whole.
    fn write_sender_report(
        &self,
        consumer: ConsumerKey,
        ssrc: Ssrc,
        statement: &SenderStatement,
        room: &mut [u8],
    ) -> usize {
        let Some(consumer) = self.objects.consumers.get(consumer) else { return 0 };
        let mut writer = CompoundWriter::new(room);
        let is_whole = writer.try_sender_report(ssrc, statement, [])
            && writer.try_source_description(ssrc, consumer.cname().as_bytes());
        if is_whole { writer.len() } else { 0 }
    }

    /// Observes the network way of a voice packet: half of either side's round trip, and the time in between.
    fn observe_latency(&mut self, peer_key: PeerKey, consumer: ConsumerKey) {
        let Objects { peers, producers, consumers, .. } = &self.objects;
        let way = || {
            let producer = producers.get(consumers.get(consumer)?.producer)?;
            let up = peers.get(producer.transport)?.sender_round_trip?;
            let down = peers.get(peer_key)?.receiver_round_trip?;
            Some(up / 2 + self.residence + down / 2)
        };
        match way() {
            Some(latency) => self.stats.latency.observe(latency.as_secs_f64() * 1000.0),
            None => self.stats.latency.skipped += 1,
        }
    }

    /// Protects a compound packet and puts it out; an empty one is none.
    pub(super) fn send_compound(&mut self, peer_key: PeerKey, compound: &[u8]) {
        let Some(peer) = self.objects.peers.get_mut(peer_key).filter(|_| !compound.is_empty()) else { return };
        let Some((destination, source, sender, _)) = peer.transport.departure() else { return };
        let len_max = compound.len() + sender.rtcp_overhead();
        let is_appended = self.control.append(destination, source, len_max, |out| {
            out[..compound.len()].copy_from_slice(compound);
            sender.protect_rtcp(out, compound.len())
        });
        if !is_appended {
            self.stats.drops.add(DropReason::SendBufferFull);
        }
    }
}

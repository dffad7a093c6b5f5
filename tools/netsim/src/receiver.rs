//! A virtual receiver of one stream: it takes media and retransmissions, asks for what is missing and for key frames, and
//! records all that the service sent.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use rtp::packet::Packet;
use rtp_util::marshal::Marshal;
use shard_protocol::tables::{ConsumerTable, PayloadFormat};

use crate::label::{Label, Picture};
use crate::losses::Losses;
use crate::payload;
use crate::progress::Progress;

/// A stream of which nothing has come for so long is not asked for key frames.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// The SSRC of those that only receive, as browsers have it.
const RECEIVER_SSRC: u32 = 1;

/// What a receiver is like.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverSetup {
    /// The round trip that it knows of; before they have measured it, browsers take it for 100 ms.
    pub round_trip: Duration,
    /// Whether it asks for lost packets and for key frames.
    pub asks: bool,
}

impl Default for ReceiverSetup {
    fn default() -> Self {
        Self { round_trip: Duration::from_millis(100), asks: true }
    }
}

/// A packet that the service sent.
#[derive(Clone)]
pub struct Arrival {
    /// When it came, or would have.
    pub at: Instant,
    /// Its number, extended; of a retransmission, that of the packet in it.
    pub sequence: u64,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its marker bit.
    pub marker: bool,
    /// Its payload.
    pub payload: Bytes,
    /// What the payload says; `None` for padding alone.
    pub content: Option<(Label, Option<Picture>)>,
    /// Whether it came as a retransmission.
    pub is_retransmission: bool,
    /// Whether the network lost it, so that the receiver knows nothing of it.
    pub is_lost: bool,
}

/// Without its payload, which its content tells of.
impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, timestamp, marker, content, is_retransmission, is_lost, .. } = self;
        write!(
            f,
            "number {sequence} at {timestamp}, marker {marker}, retransmission {is_retransmission}, lost {is_lost}: "
        )?;
        content.fmt(f)
    }
}

/// A receiver of one stream.
pub struct Receiver {
    setup: ReceiverSetup,
    format: PayloadFormat,
    /// The SSRC of the media.
    pub ssrc: u32,
    rtx_ssrc: Option<u32>,
    payload_type: u8,
    /// All that the service sent, in the order of its arrival.
    pub arrivals: Vec<Arrival>,
    /// What no service may ever send.
    pub faults: Vec<String>,
    newest: Option<u64>,
    losses: Losses,
    progress: Progress,
    came_at: Option<Instant>,
    outgoing: VecDeque<Bytes>,
    reception: Reception,
}

#[derive(Debug, Default)]
struct Reception {
    first: Option<u64>,
    received: u64,
    before: (u64, u64),
    sender_report: Option<(Instant, u32)>,
}

impl Receiver {
    /// Makes the receiver of a consumer's stream.
    pub fn new(setup: ReceiverSetup, table: &ConsumerTable) -> Self {
        let codec = table.codecs[0].codec;
        Self {
            setup,
            format: codec.format,
            ssrc: table.ssrc.0,
            rtx_ssrc: table.rtx_ssrc.map(|ssrc| ssrc.0),
            payload_type: codec.payload_type.0,
            arrivals: Vec::new(),
            faults: Vec::new(),
            newest: None,
            losses: Losses::new(setup.round_trip),
            progress: Progress::default(),
            came_at: None,
            outgoing: VecDeque::new(),
            reception: Reception::default(),
        }
    }

    /// The format that it gets.
    pub fn format(&self) -> PayloadFormat {
        self.format
    }

    /// Whether packets of an SSRC are its own.
    pub fn is_for(&self, ssrc: u32) -> bool {
        ssrc == self.ssrc || Some(ssrc) == self.rtx_ssrc
    }

    /// Takes a packet of one of its SSRCs, or learns for the record what the network lost.
    pub fn handle_packet(&mut self, now: Instant, packet: &Packet, is_lost: bool) {
        let header = &packet.header;
        let is_retransmission = Some(header.ssrc) == self.rtx_ssrc;
        if header.payload_type != self.payload_type + u8::from(is_retransmission) {
            self.faults.push(format!("payload type {} on SSRC {:x}", header.payload_type, header.ssrc));
            return;
        }
        let (number, payload) = match (is_retransmission, packet.payload.split_first_chunk::<2>()) {
            (false, _) => (header.sequence_number, packet.payload.clone()),
            (true, Some((number, _))) => (u16::from_be_bytes(*number), packet.payload.slice(2..)),
            // Padding alone: probes have no number of a lost packet.
            (true, None) if packet.payload.is_empty() => return,
            (true, None) => return self.faults.push("a retransmission of one byte".into()),
        };
        let sequence = self.extend(number);
        let content = match (payload.is_empty(), payload::read(self.format, &payload)) {
            (true, _) => None,
            (false, Ok(content)) => Some(content),
            (false, Err(fault)) => return self.faults.push(format!("number {number}: {fault}")),
        };
        if !is_lost {
            self.on_packet(now, sequence, content.map(|(label, _)| label), is_retransmission);
        }
        let (timestamp, marker) = (header.timestamp, header.marker);
        self.arrivals.push(Arrival {
            at: now,
            sequence,
            timestamp,
            marker,
            payload,
            content,
            is_retransmission,
            is_lost,
        });
    }

    /// The number nearest to the newest.
    fn extend(&mut self, number: u16) -> u64 {
        // Far from 0, so that what comes before the first has a number too.
        let newest = self.newest.unwrap_or(1 << 32 | u64::from(number));
        let sequence = newest.wrapping_add_signed(i64::from(number.wrapping_sub(newest as u16) as i16));
        self.newest = Some(newest.max(sequence));
        sequence
    }

    fn on_packet(&mut self, now: Instant, sequence: u64, label: Option<Label>, is_retransmission: bool) {
        self.came_at = Some(now);
        self.reception.received += u64::from(!is_retransmission);
        self.reception.first.get_or_insert(sequence);
        if !self.losses.on_packet(sequence, now) && self.setup.asks {
            self.request_key_frame();
        }
        if let Some(first) = self.progress.on_packet(sequence, label, now) {
            self.losses.forget_before(first);
        }
    }

    /// When it has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.setup.asks {
            return None;
        }
        let silent_at = self.came_at? + SILENCE_MAX;
        let key_frame_at = self.progress.ask_at().filter(|at| *at < silent_at);
        [key_frame_at, self.losses.poll_timeout()].into_iter().flatten().min()
    }

    /// Asks for what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        let requests: Vec<u16> = self.losses.poll_requests(now).into_iter().map(|number| number as u16).collect();
        if !requests.is_empty() {
            self.request_packets(&requests);
        }
        if self.progress.ask_at().is_some_and(|at| at <= now) {
            self.progress.on_asked(now);
            self.request_key_frame();
        }
    }

    /// Asks for packets by their numbers, lost or not.
    pub fn request_packets(&mut self, numbers: &[u16]) {
        let nack = TransportLayerNack {
            sender_ssrc: RECEIVER_SSRC,
            media_ssrc: self.ssrc,
            nacks: nack_pairs_from_sequence_numbers(numbers),
        };
        self.outgoing.push_back(nack.marshal().expect("a NACK that marshals"));
    }

    /// Asks for a key frame, needed or not.
    pub fn request_key_frame(&mut self) {
        let pli = PictureLossIndication { sender_ssrc: RECEIVER_SSRC, media_ssrc: self.ssrc };
        self.outgoing.push_back(pli.marshal().expect("a PLI that marshals"));
    }

    /// The next RTCP packet to send.
    pub fn poll_feedback(&mut self) -> Option<Bytes> {
        self.outgoing.pop_front()
    }

    /// Notes a sender report of its stream.
    pub fn handle_sender_report(&mut self, now: Instant, report: &SenderReport) {
        if report.ssrc == self.ssrc {
            self.reception.sender_report = Some((now, (report.ntp_time >> 16) as u32));
        }
    }

    /// The report block for now; `None` before the first packet.
    pub fn take_report(&mut self, now: Instant) -> Option<ReceptionReport> {
        let newest = self.losses.newest()?;
        let reception = &mut self.reception;
        let expected = newest - reception.first? + 1;
        let (expected_before, received_before) =
            std::mem::replace(&mut reception.before, (expected, reception.received));
        let interval = expected - expected_before;
        let lost = interval.saturating_sub(reception.received - received_before);
        let (last_sender_report, delay) = match reception.sender_report {
            Some((at, ntp)) => (ntp, ((now - at).as_secs_f64() * 65_536.0) as u32),
            None => (0, 0),
        };
        Some(ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost: (lost << 8).checked_div(interval).unwrap_or(0).min(255) as u8,
            total_lost: expected.saturating_sub(reception.received) as u32,
            last_sequence_number: newest as u32,
            last_sender_report,
            delay,
            jitter: 0,
        })
    }
}

//! The sending side of a transport: its producers, their numbers, and what the server asks to see again.

use std::collections::VecDeque;

use bytes::Bytes;
use peer::{
    AUDIO_LEVEL_EXTENSION_ID, MID_EXTENSION_ID, PeerError, Reports, Srtp, TRANSPORT_SEQUENCE_EXTENSION_ID, Wish,
};
use rtp::header::Header;
use rtp::packet::Packet;
use rtp_util::marshal::Marshal;

use super::outcome::{LaneOutcome, ProducerOutcome};
use crate::source::{Source, SourcePacket};

/// Packets that carry the MID at first; a browser sends it until the first report comes.
const NAMED_PACKETS: u64 = 50;
/// Packets of a producer of pictures that can be sent again: about a second of them.
const HISTORY_LEN: usize = 256;

/// A producer that is to send.
pub struct ProducerStart {
    /// Its number in payloads.
    pub publisher: u32,
    /// The SSRC of its packets.
    pub ssrc: u32,
    /// The SSRC of what is sent again.
    pub rtx_ssrc: u32,
    /// Its MID.
    pub mid: String,
    /// Where its packets come from.
    pub source: Source,
}

/// The producers of one sending transport.
pub struct Sender {
    producers: Vec<Producer>,
    transport_sequence: u16,
}

struct Producer {
    start: ProducerStart,
    sequence: u16,
    rtx_sequence: u16,
    first_timestamp: u32,
    sent: u64,
    last_sent_at_ns: u64,
    history: VecDeque<Packet>,
}

/// What a sender needs of its transport to send.
pub struct Outlet<'a> {
    /// Protects.
    pub srtp: &'a Srtp,
    /// Counts for the sender reports.
    pub reports: &'a mut Reports,
    /// In nanoseconds since the Unix epoch.
    pub now_ns: u64,
}

impl Sender {
    /// One with `producers`.
    pub fn new(producers: Vec<ProducerStart>) -> Self {
        let producers = producers.into_iter().map(|start| Producer {
            start,
            sequence: rand::random(),
            rtx_sequence: rand::random(),
            first_timestamp: rand::random(),
            sent: 0,
            last_sent_at_ns: 0,
            history: VecDeque::new(),
        });
        Self { producers: producers.collect(), transport_sequence: rand::random() }
    }

    /// Its producers by their places.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.producers.len()
    }

    /// When the producer at `place` is due, in nanoseconds since the run's beginning; `None` where no more comes.
    pub fn due_ns(&self, place: usize) -> Option<u64> {
        self.producers.get(place)?.start.source.due_ns()
    }

    /// The next packet of the producer at `place`, protected.
    pub fn poll_packet(&mut self, place: usize, outlet: &mut Outlet<'_>) -> Result<Bytes, PeerError> {
        let producer = &mut self.producers[place];
        let source = producer.start.source.poll_packet(outlet.now_ns);
        let is_picture = source.audio_level.is_none();
        let sequence = is_picture.then(|| next(&mut self.transport_sequence));
        let packet = producer.packet(source, sequence)?;
        let protected = outlet.srtp.protect_rtp(&marshal(&packet)?)?;
        outlet.reports.on_sent(&packet.header, packet.payload.len(), outlet.now_ns);
        producer.sent += 1;
        producer.last_sent_at_ns = outlet.now_ns;
        if is_picture {
            if producer.history.len() == HISTORY_LEN {
                producer.history.pop_front();
            }
            producer.history.push_back(packet);
        }
        Ok(protected)
    }

    /// Heeds a wish of the server; gives a packet where one is to be sent again.
    pub fn handle_wish(&mut self, wish: Wish, srtp: &Srtp, outcome: &mut LaneOutcome) -> Option<Bytes> {
        match wish {
            Wish::KeyFrame { ssrc, .. } => {
                outcome.traffic.key_frames_asked += 1;
                if let Some(producer) = self.producers.iter_mut().find(|producer| producer.start.ssrc == ssrc) {
                    producer.start.source.handle_key_frame_request();
                }
                None
            }
            Wish::Packet { ssrc, sequence } => {
                let number = next(&mut self.transport_sequence);
                let producer = self.producers.iter_mut().find(|producer| producer.start.ssrc == ssrc)?;
                let again = producer.packet_again(sequence, number)?;
                outcome.traffic.resent += 1;
                srtp.protect_rtp(&marshal(&again.ok()?).ok()?).ok()
            }
        }
    }

    /// Tells what each producer sent.
    pub fn conclude(&self, outcome: &mut LaneOutcome) {
        outcome.producers.extend(self.producers.iter().map(|producer| ProducerOutcome {
            publisher: producer.start.publisher,
            sent: producer.sent,
            last_sent_at_ns: producer.last_sent_at_ns,
        }));
    }
}

impl Producer {
    fn payload_type(&self) -> u8 {
        self.start.source.format().payload_type()
    }

    fn packet(&mut self, source: SourcePacket, transport_sequence: Option<u16>) -> Result<Packet, PeerError> {
        let mut header = Header {
            version: 2,
            payload_type: self.payload_type(),
            marker: source.marker,
            sequence_number: next(&mut self.sequence),
            timestamp: self.first_timestamp.wrapping_add(source.timestamp),
            ssrc: self.start.ssrc,
            ..Header::default()
        };
        if let Some(level) = source.audio_level {
            extend(&mut header, AUDIO_LEVEL_EXTENSION_ID, vec![level])?;
        }
        if let Some(number) = transport_sequence {
            extend(&mut header, TRANSPORT_SEQUENCE_EXTENSION_ID, number.to_be_bytes().to_vec())?;
        }
        if self.sent < NAMED_PACKETS {
            extend(&mut header, MID_EXTENSION_ID, self.start.mid.clone().into_bytes())?;
        }
        Ok(Packet { header, payload: source.payload })
    }

    /// A packet in the way of RFC 4588; `None` where it is no longer kept.
    fn packet_again(&mut self, sequence: u16, transport_sequence: u16) -> Option<Result<Packet, PeerError>> {
        let original = self.history.iter().find(|packet| packet.header.sequence_number == sequence)?;
        let mut header = Header {
            version: 2,
            payload_type: self.payload_type() + 1,
            marker: original.header.marker,
            sequence_number: next(&mut self.rtx_sequence),
            timestamp: original.header.timestamp,
            ssrc: self.start.rtx_ssrc,
            ..Header::default()
        };
        let payload = Bytes::from([&sequence.to_be_bytes(), &original.payload[..]].concat());
        let extended = extend(&mut header, MID_EXTENSION_ID, self.start.mid.clone().into_bytes()).and_then(|()| {
            extend(&mut header, TRANSPORT_SEQUENCE_EXTENSION_ID, transport_sequence.to_be_bytes().to_vec())
        });
        Some(extended.map(|()| Packet { header, payload }))
    }
}

/// Counts one on, and gives the number.
fn next(number: &mut u16) -> u16 {
    *number = number.wrapping_add(1);
    *number
}

fn extend(header: &mut Header, id: u8, value: Vec<u8>) -> Result<(), PeerError> {
    header.set_extension(id, value.into()).map_err(|error| PeerError::Packet(error.to_string()))
}

fn marshal(packet: &Packet) -> Result<Bytes, PeerError> {
    packet.marshal().map_err(|error| PeerError::Packet(error.to_string()))
}

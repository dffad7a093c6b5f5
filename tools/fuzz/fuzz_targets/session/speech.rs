//! What participants say: RTP packets with what must become of them, and RTCP.

use bytes::Bytes;
use engine::wire::rtcp::{
    CompactDelay, CompactNtp, CompoundWriter, NtpTimestamp, ReferenceTimeReply, ReportBlock, SenderStatement,
};
use engine::wire::sequence::Timestamp;
use rtp::header::{EXTENSION_PROFILE_ONE_BYTE, EXTENSION_PROFILE_TWO_BYTE, Header};
use rtp::packet::Packet;
use rtp_util::marshal::Marshal;
use shard_protocol::tables::Ssrc;

use crate::model::{Consumer, Copy, Producer};
use crate::operation::{Form, Report};

/// The ids of the publisher's extensions, and of the same in the copies.
const MID: u8 = 4;
const LEVEL: u8 = 1;
const COPIED_MID: u8 = 1;
const COPIED_LEVEL: u8 = 10;

/// The longest extension that is copied.
const COPIED_LEN_MAX: usize = 16;

const PAYLOAD_TYPE: u8 = 111;
const COPIED_PAYLOAD_TYPE: u8 = 100;

/// Whom the shard calls itself in its reports.
const REPORTER: Ssrc = Ssrc(1);

/// An RTP packet before it is protected.
pub(crate) struct Speech {
    /// Its bytes.
    pub(crate) packet: Vec<u8>,
    /// Whether it names its stream itself.
    pub(crate) has_mid: bool,
    /// Whether its payload type is one of the stream's.
    pub(crate) is_negotiated: bool,
    /// Whether its padding fits.
    pub(crate) is_sound: bool,
    marker: bool,
    timestamp: u32,
    payload: Vec<u8>,
    level: Option<Vec<u8>>,
}

impl Speech {
    /// A packet as browsers send it; its payload is like no other's.
    pub(crate) fn plain(producer: &Producer, index: u64, number: u32, len: u8) -> Self {
        let mut header = header(producer, index);
        let level = vec![len & 0x7f];
        push(&mut header, MID, producer.mid.as_bytes());
        push(&mut header, LEVEL, &level);
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(4 + usize::from(len), 0x55);
        Self {
            packet: [&header.marshal().expect("a header")[..], &payload].concat(),
            has_mid: true,
            is_negotiated: true,
            is_sound: true,
            marker: header.marker,
            timestamp: header.timestamp,
            payload,
            level: Some(level),
        }
    }

    /// A packet as nobody sends it, and as anybody could.
    pub(crate) fn odd(producer: &Producer, index: u64, form: &Form) -> Self {
        let mut header = header(producer, index);
        header.marker = form.marker;
        header.padding = form.padding.is_some();
        header.csrc = (0..u32::from(form.sources % 16)).collect();
        // Half of all numbers are the stream's.
        header.payload_type = if form.payload_type >= 128 { PAYLOAD_TYPE } else { form.payload_type };
        header.extension = true;
        header.extension_profile =
            if form.is_two_byte { EXTENSION_PROFILE_TWO_BYTE } else { EXTENSION_PROFILE_ONE_BYTE };
        let mut level = None;
        for (id, len) in &form.elements {
            let (id, len) = if form.is_two_byte { ((*id).max(1), *len) } else { (1 + id % 14, 1 + len % 16) };
            // The MID stays away: it could name another stream.
            let value = vec![0x33; usize::from(len)];
            if id != MID && header.get_extension(id).is_none() && push(&mut header, id, &value) && id == LEVEL {
                level = Some(value);
            }
        }
        let mut payload = form.payload.clone();
        let mut packet = header.marshal().expect("a header").to_vec();
        packet.extend(&payload);
        let mut is_sound = true;
        if let Some(padding) = form.padding {
            payload.push(padding);
            packet.push(padding);
            is_sound = (1..=payload.len()).contains(&usize::from(padding));
            payload.truncate(payload.len().saturating_sub(usize::from(padding)));
        }
        Self {
            packet,
            has_mid: false,
            is_negotiated: header.payload_type == PAYLOAD_TYPE,
            is_sound,
            marker: form.marker,
            timestamp: header.timestamp,
            payload,
            level: level.filter(|value| value.len() <= COPIED_LEN_MAX),
        }
    }

    /// Looks at the copy that `consumer` received.
    pub(crate) fn check_copy(&self, packet: &Packet, copy: &Copy, consumer: &mut Consumer) {
        let header = &packet.header;
        assert_eq!(packet.payload, self.payload);
        assert_eq!((header.marker, header.payload_type), (self.marker, COPIED_PAYLOAD_TYPE));
        assert_eq!(header.get_extension(COPIED_MID).as_deref(), Some(consumer.mid.as_bytes()));
        assert_eq!(header.get_extension(COPIED_LEVEL).as_deref(), self.level.as_deref());
        assert!(header.csrc.is_empty() && !header.padding);

        // Consecutive numbers wherever the stream began.
        let first = header.sequence_number.wrapping_sub(copy.number as u16);
        assert_eq!(*consumer.first_sequence.get_or_insert(first), first);
        // While the publisher's clock is the same, so is the way between the two.
        let offset = (copy.clock, header.timestamp.wrapping_sub(self.timestamp));
        let known = consumer.timestamp_offset.filter(|(clock, _)| *clock == copy.clock);
        assert_eq!(*consumer.timestamp_offset.insert(known.unwrap_or(offset)), offset);
    }
}

fn header(producer: &Producer, index: u64) -> Header {
    Header {
        version: 2,
        payload_type: PAYLOAD_TYPE,
        sequence_number: index as u16,
        timestamp: (index as u32).wrapping_mul(960).wrapping_sub(5000),
        ssrc: producer.ssrc,
        ..Default::default()
    }
}

fn push(header: &mut Header, id: u8, value: &[u8]) -> bool {
    header.set_extension(id, Bytes::copy_from_slice(value)).is_ok()
}

impl Report {
    /// A compound packet; `None` where it cannot be written. `ssrc` is one that the participant receives.
    pub(crate) fn write(&self, ssrc: Option<u32>) -> Option<Vec<u8>> {
        let mut room = [0; 1200];
        let mut writer = CompoundWriter::new(&mut room);
        let is_written = match self {
            Self::Sender { ssrc, ntp, blocks } => {
                let statement =
                    SenderStatement { ntp: NtpTimestamp(*ntp), timestamp: Timestamp(0), packets: 0, payload_len: 0 };
                let blocks = blocks.iter().map(|&[ssrc, numbers @ ..]| block(ssrc, numbers));
                writer.try_sender_report(Ssrc(*ssrc), &statement, blocks)
            }
            Self::Receiver { blocks } => {
                let about = ssrc?;
                writer.try_receiver_report(Ssrc(9), blocks.iter().map(|&numbers| block(about, numbers)))
            }
            Self::RoundTrip { delay, time } => {
                let reply = ReferenceTimeReply {
                    ssrc: REPORTER,
                    last_reference_time: CompactNtp(*time),
                    delay_since_last_reference_time: CompactDelay(*delay),
                };
                writer.try_reference_time_replies(Ssrc(9), [reply])
            }
            Self::Bytes(bytes) => {
                let [first, kind, rest @ ..] = bytes.as_slice() else { return None };
                let mut compound = vec![0x80 | first & 0x3f, 192 + kind % 32];
                compound.extend(rest);
                compound.resize(compound.len().max(8), 0);
                return Some(compound);
            }
        };
        let len = writer.len();
        is_written.then(|| room[..len].to_vec())
    }
}

fn block(ssrc: u32, [lost, highest, jitter, time, delay]: [u32; 5]) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: lost as u8,
        lost: lost as i32 >> 8,
        extended_highest_sequence: highest,
        jitter,
        last_sender_report: CompactNtp(time),
        delay_since_last_sender_report: CompactDelay(delay),
    }
}

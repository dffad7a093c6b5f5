//! Sends synthetic pictures: a packet of each encoding every 20 ms, two to a frame, a key frame whenever one is asked for,
//! and lost packets again.
//!
//! All encodings say the same, packet by packet, in payloads of their own length, the highest first: a receiver that is
//! switched to a higher one at a key frame misses and repeats nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rtp::header::Header;
use rtp::packet::Packet;
use rtp_util::marshal::Marshal;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::PeerError;
use crate::capabilities::{
    MID_EXTENSION_ID, REPAIRED_RID_EXTENSION_ID, RID_EXTENSION_ID, TRANSPORT_SEQUENCE_EXTENSION_ID, VideoCodec,
    VideoEncoding,
};
use crate::picture::{CLOCK_RATE_HZ, PicturePart, encode_picture};
use crate::reception::PACKET_TIME_NS;
use crate::transport::Transport;
use crate::voice::{VoicePayload, now_ns};
use crate::wishes::Wish;

/// Packets of one frame.
const PACKETS_PER_FRAME: u64 = 2;
/// RTP clock ticks a frame.
const TIMESTAMP_STEP: u32 = (CLOCK_RATE_HZ as u64 * PACKET_TIME_NS * PACKETS_PER_FRAME / 1_000_000_000) as u32;
/// Packets that name their stream at first; a browser does until the first report comes.
const NAMED_PACKETS: u64 = 50;
/// Bytes of content in the packets of the highest encoding, 400 kbit/s; each lower one has half.
const CONTENT_LEN: usize = 1000;
/// Packets that can be sent again: more than a second of them.
const HISTORY_LEN: usize = 64;

/// A camera as the service knows it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The service's name of the producer.
    pub producer_id: String,
    /// The publisher's number in its payloads.
    pub publisher: u32,
    /// Its encodings, the lowest first.
    pub encodings: Vec<VideoEncoding>,
    /// Its MID.
    pub mid: String,
}

/// A running camera; dropping it stops it.
pub struct Camera {
    shown: Shown,
    transport: Arc<Transport>,
    sent: Arc<AtomicU64>,
    ticker: AbortHandle,
}

impl Camera {
    /// Starts to send on `transport`.
    pub(crate) fn start(transport: Arc<Transport>, shown: Shown) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let lens = (0..shown.encodings.len()).rev().map(|halvings| CONTENT_LEN >> halvings);
        let encodings =
            shown.encodings.iter().zip(lens).map(|(known, content_len)| Encoding::new(known.clone(), content_len));
        let lens = Lens {
            publisher: shown.publisher,
            mid: shown.mid.clone(),
            encodings: encodings.collect(),
            counter: 0,
            is_key_wanted: true,
            first_timestamp: rand::random(),
            transport_sequence: rand::random(),
            wishes_heeded: 0,
        };
        let ticker = tokio::spawn(run_ticker(Arc::clone(&transport), lens, Arc::clone(&sent)));
        Self { shown, transport, sent, ticker: ticker.abort_handle() }
    }

    /// What it is known by.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Packets of each encoding sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// When the service asked for a key frame, in nanoseconds since the Unix epoch, the highest encoding's.
    pub fn key_frames_asked_ns(&self) -> Vec<u64> {
        let highest = self.shown.encodings.last().map(|encoding| encoding.ssrc);
        let wishes = self.transport.wishes_since(0);
        let asked = wishes.into_iter().filter_map(|wish| match wish {
            Wish::KeyFrame { ssrc, at_ns } if Some(ssrc) == highest => Some(at_ns),
            _ => None,
        });
        asked.collect()
    }

    /// Stops it; a packet that is being sent at this moment still goes out.
    pub fn stop(&self) {
        self.ticker.abort();
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

/// One encoding, and the packets of it that can be sent again.
struct Encoding {
    known: VideoEncoding,
    content_len: usize,
    sequence: u16,
    rtx_sequence: u16,
    history: VecDeque<Packet>,
}

/// What a camera is at.
struct Lens {
    publisher: u32,
    mid: String,
    encodings: Vec<Encoding>,
    counter: u64,
    is_key_wanted: bool,
    first_timestamp: u32,
    transport_sequence: u16,
    wishes_heeded: usize,
}

impl Encoding {
    fn new(known: VideoEncoding, content_len: usize) -> Self {
        Self { known, content_len, sequence: rand::random(), rtx_sequence: rand::random(), history: VecDeque::new() }
    }
}

impl Lens {
    /// Sends the next packet of each encoding, and what is asked for.
    fn tick(&mut self, transport: &Transport) -> Result<(), PeerError> {
        for wish in transport.wishes_since(self.wishes_heeded) {
            self.wishes_heeded += 1;
            match wish {
                Wish::KeyFrame { ssrc, .. } => {
                    self.is_key_wanted |= self.encodings.iter().any(|encoding| encoding.known.ssrc == ssrc);
                }
                Wish::Packet { ssrc, sequence } => self.send_again(transport, ssrc, sequence)?,
            }
        }
        let part = match self.counter % PACKETS_PER_FRAME {
            0 if std::mem::take(&mut self.is_key_wanted) => PicturePart::KeyStart,
            0 => PicturePart::Start,
            _ => PicturePart::Rest,
        };
        for place in (0..self.encodings.len()).rev() {
            let packet = self.packet(place, part)?;
            transport.send_rtp(&packet)?;
            let encoding = &mut self.encodings[place];
            encoding.sequence = encoding.sequence.wrapping_add(1);
            if encoding.history.len() == HISTORY_LEN {
                encoding.history.pop_front();
            }
            encoding.history.push_back(packet);
        }
        self.counter += 1;
        Ok(())
    }

    fn packet(&mut self, place: usize, part: PicturePart) -> Result<Packet, PeerError> {
        let frame = self.counter / PACKETS_PER_FRAME;
        let encoding = &self.encodings[place];
        let content = VoicePayload { publisher: self.publisher, counter: self.counter, sent_at_ns: now_ns() };
        let payload = encode_picture(part, frame as u16 & 0x7fff, &content, encoding.content_len);
        let mut header = Header {
            version: 2,
            payload_type: VideoCodec::Vp8.payload_type(),
            marker: part == PicturePart::Rest,
            sequence_number: encoding.sequence,
            timestamp: self.first_timestamp.wrapping_add((frame as u32).wrapping_mul(TIMESTAMP_STEP)),
            ssrc: encoding.known.ssrc,
            ..Header::default()
        };
        if self.counter < NAMED_PACKETS {
            extend(&mut header, MID_EXTENSION_ID, self.mid.clone())?;
            if let Some(rid) = &encoding.known.rid {
                extend(&mut header, RID_EXTENSION_ID, rid.clone())?;
            }
        }
        self.number(&mut header)?;
        Ok(Packet { header, payload: payload.into() })
    }

    /// Sends a packet again as RFC 4588 has it; nothing where it is not kept.
    fn send_again(&mut self, transport: &Transport, ssrc: u32, sequence: u16) -> Result<(), PeerError> {
        let Some(encoding) = self.encodings.iter_mut().find(|encoding| encoding.known.ssrc == ssrc) else {
            return Ok(());
        };
        let Some(original) = encoding.history.iter().find(|packet| packet.header.sequence_number == sequence) else {
            return Ok(());
        };
        encoding.rtx_sequence = encoding.rtx_sequence.wrapping_add(1);
        let mut header = Header {
            version: 2,
            payload_type: VideoCodec::Vp8.payload_type() + 1,
            marker: original.header.marker,
            sequence_number: encoding.rtx_sequence,
            timestamp: original.header.timestamp,
            ssrc: encoding.known.rtx_ssrc,
            ..Header::default()
        };
        let payload = Bytes::from([&sequence.to_be_bytes(), &original.payload[..]].concat());
        extend(&mut header, MID_EXTENSION_ID, self.mid.clone())?;
        if let Some(rid) = &encoding.known.rid {
            extend(&mut header, REPAIRED_RID_EXTENSION_ID, rid.clone())?;
        }
        self.number(&mut header)?;
        let packet = Packet { header, payload };
        let bytes = packet.marshal().map_err(|error| PeerError::Packet(error.to_string()))?;
        transport.send_raw(&transport.protect_rtp(&bytes)?)
    }

    /// Gives the packet its number among all of the transport.
    fn number(&mut self, header: &mut Header) -> Result<(), PeerError> {
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        extend(header, TRANSPORT_SEQUENCE_EXTENSION_ID, self.transport_sequence.to_be_bytes().to_vec())
    }
}

fn extend(header: &mut Header, id: u8, value: impl Into<Bytes>) -> Result<(), PeerError> {
    header.set_extension(id, value.into()).map_err(|error| PeerError::Packet(error.to_string()))
}

async fn run_ticker(transport: Arc<Transport>, mut lens: Lens, sent: Arc<AtomicU64>) {
    let mut ticks = interval(Duration::from_nanos(PACKET_TIME_NS));
    // What a busy host made late is sent at once: a camera does not stop.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        if lens.tick(&transport).is_ok() {
            sent.store(lens.counter, Ordering::Relaxed);
        }
    }
}

//! One encoding of a virtual publisher: frames at its own pace, cut into packets with their own numbers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use rtp::header::Header;
use shard_protocol::tables::PayloadFormat;

use crate::label::{LABEL_LEN, Label, Picture};
use crate::payload;
use crate::tables::{self, ids};

/// Bytes of a payload's label and filling at most: with all headers a packet stays below 1200 bytes.
const CONTENT_LEN_MAX: usize = 1090;

/// Packets that are kept to be sent again. A second of 4 Mbit/s has half as many.
const HISTORY_LEN: usize = 1000;

/// Temporal layers of successive frames: three layers, as browsers make them.
const TEMPORAL_LAYERS: [u8; 4] = [0, 2, 1, 2];

/// What an encoding makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncodingSetup {
    /// Its name, where the publisher has several.
    pub rid: Option<&'static str>,
    /// From frame to frame.
    pub interval: Duration,
    /// Bytes of a frame that needs others, give or take a fifth.
    pub delta_len: usize,
    /// Bytes of a key frame, give or take a fifth.
    pub key_len: usize,
}

/// A packet on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its header, without transport-wide number.
    pub header: Header,
    /// Its payload.
    pub payload: Bytes,
    /// Bytes of padding after it.
    pub padding: u8,
    /// Its place in the publisher's log, be it sent for the first time or again.
    pub place: Option<usize>,
}

/// A packet as the publisher remembers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// What it carries; of padding, what a packet at its place would.
    pub label: Label,
    /// Whether it is padding alone.
    pub is_padding: bool,
    /// The SSRC and number that it went out with.
    pub ssrc: u32,
    /// See `ssrc`.
    pub sequence: u16,
    /// When it was sent first.
    pub sent_at: Instant,
    /// When it first reached the service, sent again or not.
    pub reached_at: Option<Instant>,
}

/// What all encodings of a publisher share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common {
    /// The publisher's number.
    pub publisher: u16,
    /// Its MID.
    pub mid: &'static str,
    /// Its format.
    pub format: PayloadFormat,
    /// The time that labels count from.
    pub epoch: Instant,
    /// Whether packets carry a dependency descriptor.
    pub has_dependency_descriptor: bool,
}

/// An encoding.
pub(crate) struct Encoding {
    setup: EncodingSetup,
    common: Common,
    number: u8,
    run: u8,
    /// The SSRC of the media.
    pub ssrc: u32,
    /// The SSRC of retransmissions.
    pub rtx_ssrc: u32,
    /// Whether frames are made.
    pub is_active: bool,
    /// Whether the next frame is a key frame.
    pub wants_key_frame: bool,
    /// When the next frame is sent.
    pub next_at: Instant,
    /// Whether the other side has reported the SSRC: then its packets no longer say whose they are.
    pub is_acknowledged: bool,
    sequence: u16,
    rtx_sequence: u16,
    timestamp_origin: u32,
    picture: Picture,
    index: u32,
    frame: u32,
    phase: usize,
    newest: Option<Label>,
    history: VecDeque<(u16, Outgoing)>,
    /// Packets and payload bytes sent, for sender reports.
    pub sent: (u32, u32),
}

impl Encoding {
    /// Makes an encoding whose first frame goes out at `at`.
    pub(crate) fn new(setup: EncodingSetup, common: Common, number: u8, at: Instant, random: &mut StdRng) -> Self {
        let mut encoding = Self {
            setup,
            common,
            number,
            run: 0,
            ssrc: 0,
            rtx_ssrc: 0,
            is_active: true,
            wants_key_frame: true,
            next_at: at,
            is_acknowledged: false,
            sequence: 0,
            rtx_sequence: 0,
            timestamp_origin: 0,
            picture: Picture::default(),
            index: 0,
            frame: 0,
            phase: 0,
            newest: None,
            history: VecDeque::new(),
            sent: (0, 0),
        };
        encoding.begin(random);
        encoding
    }

    /// Begins anew with another SSRC, other numbers and a key frame.
    pub(crate) fn restart(&mut self, random: &mut StdRng) {
        self.run = self.run.wrapping_add(1);
        self.begin(random);
    }

    fn begin(&mut self, random: &mut StdRng) {
        // Halves of one range, so that no two are ever equal.
        self.ssrc = random.next_u32() << 1;
        self.rtx_ssrc = random.next_u32() << 1 | 1;
        // Below 2^15, as senders begin: the other side could not tell a roll-over among first packets that are lost (RFC 3711
        // section 3.3.1).
        (self.sequence, self.rtx_sequence) = (random.random::<u16>() >> 1, random.random::<u16>() >> 1);
        self.timestamp_origin = random.random();
        // Near the wrap every second time, so that it happens in short runs too.
        let id = if random.random() { 0x7ff0 } else { random.random::<u16>() >> 1 };
        self.picture = Picture { id, base: random.random() };
        (self.index, self.frame, self.phase) = (0, 0, 0);
        self.newest = None;
        self.history.clear();
        self.sent = (0, 0);
        self.is_acknowledged = false;
        self.wants_key_frame = true;
    }

    /// The publisher's timestamp of a moment.
    pub(crate) fn timestamp(&self, at: Instant) -> u32 {
        let rate = u128::from(tables::clock_rate_hz(self.common.format));
        let ticks = (at - self.common.epoch).as_nanos() * rate / 1_000_000_000;
        self.timestamp_origin.wrapping_add(ticks as u32)
    }

    /// Makes the frame that was captured at `captured_at` and is sent now.
    pub(crate) fn frame(
        &mut self,
        now: Instant,
        captured_at: Instant,
        random: &mut StdRng,
        sent: &mut Vec<(Published, Outgoing)>,
    ) {
        let is_key = std::mem::take(&mut self.wants_key_frame) || self.common.format == PayloadFormat::Opus;
        let nominal = if is_key { self.setup.key_len } else { self.setup.delta_len };
        let len = (nominal as f64 * random.random_range(0.8..1.2)) as usize;
        let packets = len.div_ceil(CONTENT_LEN_MAX).max(1);
        let content_len = (len / packets).clamp(LABEL_LEN, CONTENT_LEN_MAX);
        if is_key {
            self.phase = 0;
        }
        let has_layers = payload::has_pictures(self.common.format);
        let temporal_layer = if has_layers { TEMPORAL_LAYERS[self.phase % TEMPORAL_LAYERS.len()] } else { 0 };
        self.phase += 1;
        self.picture.id = (self.picture.id + 1) & 0x7fff;
        self.picture.base = self.picture.base.wrapping_add(u8::from(temporal_layer == 0));
        for packet in 0..packets as u16 {
            let label = Label {
                publisher: self.common.publisher,
                encoding: self.number,
                run: self.run,
                index: self.index,
                frame: self.frame,
                packet,
                packets: packets as u16,
                is_key,
                timestamp: self.timestamp(captured_at),
                picture: self.picture,
                captured: captured_at - self.common.epoch,
            };
            let payload = payload::write(self.common.format, &label, temporal_layer, content_len);
            sent.push(self.send(now, label, payload.into(), 0));
        }
        self.frame += 1;
    }

    /// Makes a packet of `padding` bytes of padding alone, behind the newest frame; none before the first.
    pub(crate) fn padding(&mut self, now: Instant, padding: u8) -> Option<(Published, Outgoing)> {
        let label = Label { index: self.index, ..self.newest? };
        Some(self.send(now, label, Bytes::new(), padding))
    }

    fn send(&mut self, now: Instant, label: Label, payload: Bytes, padding: u8) -> (Published, Outgoing) {
        let is_padding = padding > 0;
        let mut header = Header {
            version: 2,
            padding: is_padding,
            marker: !is_padding && label.ends_frame() && self.common.format != PayloadFormat::Opus,
            payload_type: tables::producer_payload_type(self.common.format),
            sequence_number: self.sequence,
            timestamp: label.timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        self.describe(&mut header, ids::RID);
        if self.common.has_dependency_descriptor && !is_padding {
            set_extension(&mut header, ids::DEPENDENCY_DESCRIPTOR, payload::dependency_descriptor(&label));
        }
        let published =
            Published { label, is_padding, ssrc: self.ssrc, sequence: self.sequence, sent_at: now, reached_at: None };
        self.sent = (self.sent.0.wrapping_add(1), self.sent.1.wrapping_add(payload.len() as u32));
        let outgoing = Outgoing { header, payload, padding, place: None };
        self.newest = Some(label);
        self.index += 1;
        self.sequence = self.sequence.wrapping_add(1);
        (published, outgoing)
    }

    /// Remembers a packet that was given a place in the log, to send it again.
    pub(crate) fn remember(&mut self, outgoing: &Outgoing) {
        if self.history.len() == HISTORY_LEN {
            self.history.pop_front();
        }
        self.history.push_back((outgoing.header.sequence_number, outgoing.clone()));
    }

    /// Packs a packet that was lost once more (RFC 4588 section 4); `None` where it is not kept any more.
    pub(crate) fn again(&mut self, sequence: u16) -> Option<Outgoing> {
        let (_, lost) = self.history.iter().rev().find(|(number, _)| *number == sequence)?;
        let mut header = Header {
            version: 2,
            padding: lost.header.padding,
            marker: lost.header.marker,
            payload_type: lost.header.payload_type + 1,
            sequence_number: self.rtx_sequence,
            timestamp: lost.header.timestamp,
            ssrc: self.rtx_ssrc,
            ..Header::default()
        };
        let payload = [&sequence.to_be_bytes()[..], &lost.payload].concat();
        let again = Outgoing { header: Header::default(), payload: payload.into(), ..*lost };
        self.describe(&mut header, ids::REPAIRED_RID);
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        Some(Outgoing { header, ..again })
    }

    /// Says whose packet it is: in media until the other side has heard of the SSRC, in retransmissions always.
    fn describe(&self, header: &mut Header, rid_id: u8) {
        if self.is_acknowledged && rid_id == ids::RID {
            return;
        }
        set_extension(header, ids::MID, self.common.mid);
        if let Some(rid) = self.setup.rid {
            set_extension(header, rid_id, rid);
        }
    }

    /// From frame to frame.
    pub(crate) fn interval(&self) -> Duration {
        self.setup.interval
    }
}

fn set_extension(header: &mut Header, id: u8, value: impl AsRef<[u8]>) {
    header.set_extension(id, Bytes::copy_from_slice(value.as_ref())).expect("an extension that fits");
}

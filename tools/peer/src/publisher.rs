//! Sends synthetic voice, a packet every 20 ms.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rtp::header::Header;
use rtp::packet::Packet;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::PeerError;
use crate::capabilities::{AUDIO_LEVEL_EXTENSION_ID, MID_EXTENSION_ID, OPUS_PAYLOAD_TYPE};
use crate::reception::PACKET_TIME_NS;
use crate::transport::Transport;
use crate::voice::{VoicePayload, now_ns};

/// RTP clock ticks a packet: 20 ms at 48 kHz.
const TIMESTAMP_STEP: u32 = 960;
/// Packets that carry the MID at first; a browser sends it until the first report comes.
const MID_PACKETS: u64 = 50;
/// The audio level that is told, in -dBov, with the voice bit set (RFC 6464 3).
const AUDIO_LEVEL: u8 = 0x80 | 30;

/// What a publisher is known by.
#[derive(Clone, Debug)]
pub struct Published {
    /// The service's name of the producer.
    pub producer_id: String,
    /// The publisher's number in its payloads.
    pub publisher: u32,
    /// The SSRC of its packets.
    pub ssrc: u32,
    /// Its MID.
    pub mid: String,
}

/// A running publisher; dropping it stops it.
pub struct Publisher {
    published: Published,
    next: Arc<Mutex<Next>>,
    sent: Arc<AtomicU64>,
    ticker: AbortHandle,
}

/// The numbers of the next packet.
struct Next {
    counter: u64,
    sequence: u16,
    timestamp: u32,
}

impl Publisher {
    /// Starts to send on `transport`.
    pub(crate) fn start(transport: Arc<Transport>, published: Published) -> Self {
        let next = Arc::new(Mutex::new(Next { counter: 0, sequence: rand::random(), timestamp: rand::random() }));
        let sent = Arc::new(AtomicU64::new(0));
        let ticker = tokio::spawn(run_ticker(transport, published.clone(), Arc::clone(&next), Arc::clone(&sent)));
        Self { published, next, sent, ticker: ticker.abort_handle() }
    }

    /// What it is known by.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Packets sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops it; a packet that is being sent at this moment still goes out.
    pub fn stop(&self) {
        self.ticker.abort();
    }

    /// The packet that would be sent next, as bytes without protection, without sending it or counting it as sent.
    pub fn preview(&self) -> Result<Bytes, PeerError> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let packet = next.packet(&self.published)?;
        rtp_util::marshal::Marshal::marshal(&packet).map_err(|error| PeerError::Packet(error.to_string()))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

impl Next {
    fn packet(&self, published: &Published) -> Result<Packet, PeerError> {
        let mut header = Header {
            version: 2,
            payload_type: OPUS_PAYLOAD_TYPE,
            marker: self.counter == 0,
            sequence_number: self.sequence,
            timestamp: self.timestamp,
            ssrc: published.ssrc,
            ..Header::default()
        };
        let mut extend = |id, payload: Bytes| {
            header.set_extension(id, payload).map_err(|error| PeerError::Packet(error.to_string()))
        };
        extend(AUDIO_LEVEL_EXTENSION_ID, Bytes::from_static(&[AUDIO_LEVEL]))?;
        if self.counter < MID_PACKETS {
            extend(MID_EXTENSION_ID, Bytes::from(published.mid.clone()))?;
        }
        let payload = VoicePayload { publisher: published.publisher, counter: self.counter, sent_at_ns: now_ns() };
        Ok(Packet { header, payload: payload.encode(VoicePayload::LEN).into() })
    }

    fn advance(&mut self) {
        self.counter += 1;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(TIMESTAMP_STEP);
    }
}

async fn run_ticker(transport: Arc<Transport>, published: Published, next: Arc<Mutex<Next>>, sent: Arc<AtomicU64>) {
    let mut ticks = interval(Duration::from_nanos(PACKET_TIME_NS));
    // What a busy host made late is sent at once: a microphone does not stop.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_sent = next.packet(&published).and_then(|packet| transport.send_rtp(&packet)).is_ok();
        if is_sent {
            sent.fetch_add(1, Ordering::Relaxed);
            next.advance();
        }
    }
}

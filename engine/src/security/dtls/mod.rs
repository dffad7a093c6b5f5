//! The DTLS port: datagrams and keys in and out, and what stands before and behind the handshake itself.
//!
//! In the shard, a peer's datagram meets the [`HandshakeFilter`] and goes as a [`DtlsRequest`] to the handshake thread.
//! There the [`Assembly`] makes whole messages of it, judges its hello, and hands it to the handshake. Answers and keys come
//! back as [`DtlsResponse`]s, and [`LastFlight`] repeats the service's last word for a peer that missed it.
//!
//! Not here: the handshake. It needs a thread, time and a library, and is the runtime's.

mod assembly;
mod filter;
mod hello;
mod last_flight;
pub mod record;
#[cfg(test)]
pub(crate) mod sample;

pub use assembly::{ASSEMBLED_LEN_MAX, Assembly};
pub use filter::{HandshakeFilter, MESSAGE_LEN_MAX, MESSAGE_SEQ_MAX};
pub use hello::choose_profile;
pub use last_flight::{LastFlight, RESEND_INTERVAL};
use shard_protocol::event::TransportCloseReason;
use shard_protocol::ids::TransportId;
use shard_protocol::tables::DtlsTable;

use super::srtp::SrtpKeys;

/// What a shard asks of the handshakes.
#[derive(Debug)]
pub enum DtlsRequest {
    /// Begins a handshake. As client the first flight goes out at once, so that ICE should have an address for it; as
    /// server it waits for the peer's first datagram, and its time begins with that.
    Start {
        /// The transport.
        transport: TransportId,
        /// The service's role and the peer's fingerprints.
        table: DtlsTable,
    },
    /// A datagram of the peer that passed the filter.
    Datagram {
        /// The transport.
        transport: TransportId,
        /// The datagram.
        bytes: Box<[u8]>,
    },
    /// Forgets a handshake that is under way.
    Stop {
        /// The transport.
        transport: TransportId,
    },
}

impl DtlsRequest {
    /// The transport that it is about.
    pub fn transport(&self) -> TransportId {
        match *self {
            Self::Start { transport, .. } | Self::Datagram { transport, .. } | Self::Stop { transport } => transport,
        }
    }
}

/// What the handshakes tell a shard.
pub enum DtlsResponse {
    /// A datagram for the peer.
    Datagram {
        /// The transport.
        transport: TransportId,
        /// The datagram.
        bytes: Box<[u8]>,
    },
    /// The handshake is complete and the fingerprint is right; its state is gone from the handshake thread.
    Connected {
        /// The transport.
        transport: TransportId,
        /// The keys.
        keys: SrtpKeys,
        /// As server, the last flight, to be sent again when the peer shows that it was lost.
        last_flight: Option<Box<[u8]>>,
    },
    /// The handshake failed; its state is gone from the handshake thread.
    Failed {
        /// The transport.
        transport: TransportId,
        /// Why.
        reason: TransportCloseReason,
    },
}

//! The DTLS port: datagrams and keys in and out, and the filter in front of the handshake.

use shard_protocol::event::TransportCloseReason;
use shard_protocol::ids::TransportId;
use shard_protocol::tables::DtlsTable;

use super::srtp::SrtpKeys;

/// What a shard asks of the handshakes.
#[derive(Debug)]
pub enum DtlsRequest {
    /// Begins a handshake. As client the first flight goes out at once.
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

//! What a shard tells signaling.

use crate::error::CommandError;
use crate::ids::{RequestId, TransportId};
use crate::stats::ShardStats;

/// How far ICE has come, as a mediasoup client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceState {
    /// No check has been accepted yet.
    New,
    /// A pair is valid; the peer has not nominated one.
    Connected,
    /// The peer has nominated a pair.
    Completed,
    /// The peer's consent ran out (RFC 7675); a new check brings the transport back.
    Disconnected,
}

/// How far DTLS has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsState {
    /// Nothing has happened yet.
    New,
    /// The handshake is under way.
    Connecting,
    /// Keys are in place; media flows.
    Connected,
    /// The handshake failed, or the certificate was not the one announced.
    Failed,
}

/// Why a shard closed a transport by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportCloseReason {
    /// The DTLS handshake failed or took too long.
    DtlsFailed,
    /// The peer's certificate has none of the announced fingerprints.
    FingerprintMismatch,
}

/// An event of a shard.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The answer to a command with a `request`; an error means that nothing changed.
    Answered {
        /// The command's.
        request: RequestId,
        /// What came of it.
        result: Result<(), CommandError>,
    },
    /// A transport's state changed; several changes in a row may come as the last of them.
    TransportState {
        /// The transport.
        transport: TransportId,
        /// Its ICE state now.
        ice: IceState,
        /// Its DTLS state now.
        dtls: DtlsState,
    },
    /// A transport ended by itself; its producers and consumers, and the consumers of its producers, are gone with it.
    TransportClosed {
        /// The transport.
        transport: TransportId,
        /// Why.
        reason: TransportCloseReason,
    },
    /// The answer to [`crate::Command::ReportStats`].
    Stats {
        /// The command's.
        request: RequestId,
        /// The figures since the shard began.
        stats: Box<ShardStats>,
    },
}

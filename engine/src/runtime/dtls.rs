//! (to be written)

use std::sync::Arc;

use shard_protocol::tables::Fingerprint;

use crate::security::dtls::{DtlsRequest, DtlsResponse};

/// Wakes a shard.
pub type DtlsWaker = Arc<dyn Fn() + Send + Sync>;

/// Why the handshakes can't be had.
#[derive(Debug, thiserror::Error)]
#[error("never")]
pub struct DtlsStartError;

/// The handshake thread.
pub struct DtlsThread;

/// A shard's end.
pub struct DtlsPort;

impl DtlsThread {
    /// Starts it; one port for each of `wakers`.
    pub fn start(
        wakers: Vec<DtlsWaker>,
        _on_start: impl FnOnce() + Send + 'static,
    ) -> Result<(Self, Vec<DtlsPort>), DtlsStartError> {
        Ok((Self, wakers.iter().map(|_| DtlsPort).collect()))
    }

    /// Its certificate's hashes.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &[]
    }

    /// Waits for its end.
    pub fn join(self) {}
}

impl DtlsPort {
    /// Asks.
    pub fn try_send(&self, _request: DtlsRequest) -> Result<(), DtlsRequest> {
        Ok(())
    }

    /// Answers.
    pub fn try_recv(&self) -> Option<DtlsResponse> {
        None
    }
}

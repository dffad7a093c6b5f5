//! What can go wrong for a participant.

use std::io;

/// Why a participant could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A socket or a process failed.
    #[error("input or output failed: {0}")]
    Io(#[from] io::Error),
    /// The service refused the upgrade to a WebSocket.
    #[error("the upgrade was refused with HTTP status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The WebSocket broke.
    #[error("the WebSocket failed: {0}")]
    WebSocket(String),
    /// The WebSocket ended.
    #[error("the connection was closed with {code:?}: {reason}")]
    Closed {
        /// The close code; none where the connection ended without a Close frame.
        code: Option<u16>,
        /// The reason that came with it.
        reason: String,
    },
    /// The service answered a request with an error.
    #[error("{request} was answered with {code}: {message}")]
    Answer {
        /// The type of the request.
        request: String,
        /// The error's code.
        code: String,
        /// The error's sentence.
        message: String,
    },
    /// Something that was waited for did not come.
    #[error("waited in vain for {0}")]
    TimedOut(String),
    /// The DTLS handshake failed.
    #[error("the DTLS handshake failed: {0}")]
    Dtls(String),
    /// A packet could not be protected, unprotected, read or written.
    #[error("a packet could not be handled: {0}")]
    Packet(String),
    /// The service said something that does not fit the protocol.
    #[error("the service broke the protocol: {0}")]
    Protocol(String),
    /// The service's process did not come up, or ended.
    #[error("the service does not run: {0}")]
    Service(String),
}

impl PeerError {
    /// The code of the service's error answer, if this is one.
    pub fn answer_code(&self) -> Option<&str> {
        match self {
            Self::Answer { code, .. } => Some(code),
            _ => None,
        }
    }
}

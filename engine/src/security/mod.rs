//! What makes a datagram trusted: ICE-lite, the DTLS port, SRTP.

pub mod dtls;
pub mod ice;
pub mod srtp;

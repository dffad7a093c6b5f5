//! Where a datagram belongs: first to a protocol, then to a transport.
//!
//! Protocols are told apart by the first byte. Media and DTLS are taken only from an address that ICE has validated; a
//! check from a new address finds its transport by the user name fragment. Nothing here looks into a datagram further
//! than that, or decides whether to trust it.

mod class;
mod routes;

pub use class::DatagramClass;
pub use routes::Routes;

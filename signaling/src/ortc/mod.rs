//! Negotiation by ORTC: which codec, payload type, SSRC and header extension id a stream gets.
//!
//! Pure functions. Capability JSON of a client comes in, is checked here, and goes out as parameters for the client and
//! as number tables for a shard. The shapes and the rules are those of mediasoup 3.27, so that its unmodified client
//! works; where this differs on purpose, [`DEPARTURES`] says so.
//!
//! [`negotiate_producer`] and [`negotiate_consumer`] are the whole of a `produce` and a `consume`; the functions that
//! they call can be had one by one.
//!
//! Not here: messages, rooms, ids, randomness (SSRCs are given by the caller), and whether an SSRC is taken by another
//! stream of the transport, which the shard knows.

mod capabilities;
mod codec;
mod departures;
mod error;
mod field;
mod negotiation;
mod parameters;
mod tables;
mod transport;
mod validation;

#[cfg(test)]
mod tests;

pub use capabilities::{common_capabilities, generate_router_capabilities, router_capabilities};
pub use codec::StreamType;
pub use departures::{DEPARTURES, Departure};
pub use error::OrtcError;
pub use negotiation::{
    ConsumerStreams, NegotiatedConsumer, NegotiatedProducer, can_consume, consumable_parameters, consumer_parameters,
    negotiate_consumer, negotiate_producer, producer_mapping,
};
pub use parameters::{
    CodecParameters, ParameterValue, PayloadTypeMapping, RtcpFeedback, RtcpParameters, RtpCapabilities,
    RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionDirection,
    RtpHeaderExtensionParameters, RtpParameters, RtxParameters, kind_name, parse_kind,
};
pub use tables::{consumer_table, dtls_table, producer_table, stream_type};
pub use transport::{
    DtlsFingerprint, DtlsParameters, DtlsRole, IceCandidate, IceCandidateType, IceParameters, IceTcpType,
    TransportProtocol,
};

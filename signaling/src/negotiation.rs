//! The seam between rooms and [`crate::ortc`]: JSON of requests in, parameters for clients and tables for shards out, and
//! refusals in the words of the protocol.
//!
//! Here stands how much each source may send: negotiation knows kinds and codecs only.

use std::net::IpAddr;
use std::sync::LazyLock;

use serde_json::Value;
use shard_protocol::tables::{CandidateAddress, DtlsTable, Fingerprint, MediaKind};

pub use crate::ortc::{
    ConsumerStreams, DtlsParameters, IceCandidate, IceParameters, NegotiatedConsumer, NegotiatedProducer,
    RtpCapabilities, RtpParameters, StreamType,
};
use crate::ortc::{
    DtlsFingerprint, DtlsRole, IceCandidateType, OrtcError, TransportProtocol, common_capabilities, dtls_table,
};
use crate::wire::request::{Kind, Source};
use crate::wire::{ErrorCode, Refusal};

/// The most that a microphone or a screen's sound may send in bit/s: Opus in stereo at the best that clients are told to use.
pub const AUDIO_BITRATE_MAX_BPS: u32 = 128_000;

/// The most that a camera may send in bit/s: the three simulcast layers that clients are told to use, 150, 500 and 1500 kbit/s.
const CAMERA_BITRATE_MAX_BPS: u32 = 2_150_000;

/// The most that a screen may send in bit/s: text must be sharp at 1080 lines, and one stream has no lower layers beside it.
const SCREEN_BITRATE_MAX_BPS: u32 = 4_000_000;

/// What every room forwards.
pub fn router_capabilities() -> &'static RtpCapabilities {
    // The same for all rooms and all time; a test of the negotiation shows that it is never an error.
    static CAPABILITIES: LazyLock<RtpCapabilities> =
        LazyLock::new(|| crate::ortc::router_capabilities().unwrap_or_default());
    &CAPABILITIES
}

/// Reads `rtpCapabilities` of a request: as much of them as the router has.
///
/// # Errors
/// Where they are malformed or too long.
pub fn read_capabilities(value: &Value) -> Result<RtpCapabilities, Refusal> {
    RtpCapabilities::from_json(value)
        .map(|capabilities| common_capabilities(&capabilities, router_capabilities()))
        .map_err(|error| refusal_of(&error))
}

/// Reads `dtlsParameters` of a request.
///
/// # Errors
/// Where they are malformed, or have no fingerprint that the service can check.
pub fn read_dtls(value: &Value) -> Result<DtlsTable, Refusal> {
    DtlsParameters::from_json(value).and_then(|parameters| dtls_table(&parameters)).map_err(|error| refusal_of(&error))
}

/// Negotiates a `produce` of `source`; `cname` names the participant to its receivers, whatever the client calls itself.
///
/// # Errors
/// [`ErrorCode::UnsupportedCodec`] for codecs that the router has not; what is malformed.
pub fn negotiate_producer(source: Source, parameters: &Value, cname: &str) -> Result<NegotiatedProducer, Refusal> {
    let kind = match source.kind() {
        Kind::Audio => MediaKind::Audio,
        Kind::Video => MediaKind::Video,
    };
    RtpParameters::from_json(parameters)
        .and_then(|parameters| {
            crate::ortc::negotiate_producer(kind, parameters, router_capabilities(), cname, bitrate_max_bps(source))
        })
        .map_err(|error| refusal_of(&error))
}

/// The most that a stream of `source` may send, all its encodings together.
fn bitrate_max_bps(source: Source) -> u32 {
    match source {
        Source::Mic | Source::ScreenAudio => AUDIO_BITRATE_MAX_BPS,
        Source::Camera => CAMERA_BITRATE_MAX_BPS,
        Source::Screen => SCREEN_BITRATE_MAX_BPS,
    }
}

/// Negotiates a `consume` for a receiver with `capabilities`; `streams` has names that its transport has not used.
///
/// # Errors
/// [`ErrorCode::CannotConsume`] where the receiver has none of the stream's codecs.
pub fn negotiate_consumer(
    producer: &NegotiatedProducer,
    capabilities: &RtpCapabilities,
    streams: ConsumerStreams,
) -> Result<NegotiatedConsumer, Refusal> {
    crate::ortc::negotiate_consumer(producer, capabilities, streams).map_err(|error| refusal_of(&error))
}

/// The service's side of DTLS, with the hashes of its certificate.
pub fn dtls_parameters(fingerprints: &[Fingerprint]) -> DtlsParameters {
    let fingerprints = fingerprints.iter().map(|fingerprint| match fingerprint {
        Fingerprint::Sha256(hash) => written_fingerprint("sha-256", hash),
        Fingerprint::Sha384(hash) => written_fingerprint("sha-384", hash),
        Fingerprint::Sha512(hash) => written_fingerprint("sha-512", hash),
    });
    DtlsParameters { role: DtlsRole::Auto, fingerprints: fingerprints.collect() }
}

/// The candidate at `place` in a shard's list; the first is the preferred one.
pub fn ice_candidate(address: CandidateAddress, place: usize) -> IceCandidate {
    let CandidateAddress { ip, port } = address;
    IceCandidate {
        foundation: format!("udp{place}"),
        priority: candidate_priority(ip, place),
        ip,
        address: ip,
        protocol: TransportProtocol::Udp,
        port,
        candidate_type: IceCandidateType::Host,
        tcp_type: None,
    }
}

/// RFC 8445 section 5.1.2.1: type preference 126 for host candidates, component 1.
fn candidate_priority(ip: IpAddr, place: usize) -> u32 {
    // RFC 8421 section 4: IPv6 comes before IPv4, each in the order of the list.
    let family = if ip.is_ipv6() { 0x8000 } else { 0 };
    let local_preference = family + 0x7fff - u32::try_from(place).unwrap_or(u32::MAX).min(0x7fff);
    126 << 24 | local_preference << 8 | 255
}

fn written_fingerprint(algorithm: &str, hash: &[u8]) -> DtlsFingerprint {
    let bytes: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    DtlsFingerprint { algorithm: algorithm.to_owned(), value: bytes.join(":") }
}

fn refusal_of(error: &OrtcError) -> Refusal {
    let code = match error {
        OrtcError::Invalid { .. } => ErrorCode::BadRequest,
        OrtcError::TooLarge { .. } => ErrorCode::TooLarge,
        OrtcError::UnsupportedCodec { .. } => ErrorCode::UnsupportedCodec,
        OrtcError::DuplicateSsrc { .. } => ErrorCode::DuplicateSsrc,
        OrtcError::CannotConsume => ErrorCode::CannotConsume,
    };
    Refusal::new(code, format!("{error}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_router_has_codecs() {
        assert!(!router_capabilities().codecs.is_empty());
    }

    #[test]
    fn codes_are_those_of_the_negotiation() {
        let errors = [
            OrtcError::Invalid { path: "a".into(), expected: "is a number" },
            OrtcError::TooLarge { path: "a".into(), limit: 1, unit: "items" },
            OrtcError::DuplicateSsrc { path: "a".into() },
            OrtcError::CannotConsume,
        ];
        for error in errors {
            assert_eq!(refusal_of(&error).code.label(), error.code());
        }
    }

    #[test]
    fn a_candidate_has_the_shape_that_clients_know() {
        let address = CandidateAddress { ip: "192.0.2.1".parse().unwrap(), port: 40_000 };
        let expected = json!({
            "foundation": "udp0", "priority": 2_122_317_823, "ip": "192.0.2.1", "address": "192.0.2.1",
            "protocol": "udp", "port": 40_000, "type": "host",
        });
        assert_eq!(serde_json::to_value(ice_candidate(address, 0)).unwrap(), expected);
        assert!(candidate_priority(address.ip, 0) > candidate_priority(address.ip, 1));
        assert!(candidate_priority("2001:db8::1".parse().unwrap(), 9) > candidate_priority(address.ip, 0));
    }

    #[test]
    fn fingerprints_are_written_as_clients_read_them() {
        let mut hash = [0; 32];
        hash[0] = 0xab;
        let written = serde_json::to_value(dtls_parameters(&[Fingerprint::Sha256(hash)])).unwrap();
        assert_eq!(written["role"], "auto");
        assert_eq!(written["fingerprints"][0]["algorithm"], "sha-256");
        assert!(written["fingerprints"][0]["value"].as_str().unwrap().starts_with("AB:00:"));
        let read = DtlsParameters::from_json(&written).and_then(|parameters| dtls_table(&parameters)).unwrap();
        assert_eq!(read.fingerprints, [Fingerprint::Sha256(hash)]);
    }
}

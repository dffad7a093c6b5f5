//! ICE and DTLS parameters, in the JSON shapes of mediasoup v3.

use serde::Serialize;
use std::net::IpAddr;

/// The service's side of ICE, told to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IceParameters {
    /// The user name fragment.
    pub username_fragment: String,
    /// The password.
    pub password: String,
    /// Whether the service is ICE-lite, which it is.
    pub ice_lite: bool,
}

/// An address at which the service can be reached, told to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// Equal for candidates of one base and protocol, RFC 8445 section 5.1.1.3.
    pub foundation: String,
    /// RFC 8445 section 5.1.2.
    pub priority: u32,
    /// The address.
    pub ip: IpAddr,
    /// The address again, under its newer name.
    pub address: IpAddr,
    /// UDP or TCP.
    pub protocol: TransportProtocol,
    /// The port.
    pub port: u16,
    /// Always `host`.
    #[serde(rename = "type")]
    pub candidate_type: IceCandidateType,
    /// For TCP, who opens the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_type: Option<IceTcpType>,
}

/// What carries the packets of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportProtocol {
    /// UDP.
    Udp,
    /// TCP, RFC 6544.
    Tcp,
}

/// How a candidate was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IceCandidateType {
    /// The host's own address.
    Host,
}

/// Who opens the connection of a TCP candidate, RFC 6544 section 4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IceTcpType {
    /// The client does.
    Passive,
}

/// One side of DTLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DtlsParameters {
    /// The side's part in the handshake.
    pub role: DtlsRole,
    /// Hashes of its certificate; a client looks at the last one only.
    pub fingerprints: Vec<DtlsFingerprint>,
}

/// A side's part in the DTLS handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsRole {
    /// Either part.
    #[default]
    Auto,
    /// It sends the ClientHello.
    Client,
    /// It waits for the ClientHello.
    Server,
}

/// The hash of a certificate, RFC 8122 section 5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DtlsFingerprint {
    /// The hash function's name, such as `sha-256`.
    pub algorithm: String,
    /// Bytes in hexadecimal, with colons between.
    pub value: String,
}

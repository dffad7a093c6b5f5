//! A native participant of the service.
//!
//! It speaks the whole of what a browser speaks — signaling over a WebSocket, a full ICE agent, DTLS in either role,
//! SRTP, RTP and RTCP — and sends synthetic voice and pictures whose content tells the receiver what was lost, repeated, reordered
//! or altered on the way. Tests and load tools are built on it. Beside the well-behaved way it gives raw access: any
//! bytes from a transport's own socket, protected or not, and a gate that loses datagrams.
//!
//! It shares no code with the engine, so that the two check each other: cryptography and formats come from
//! `webrtc-dtls`, `webrtc-srtp`, `rtp`, `rtcp` and `stun-rs`.
//!
//! What it does not do: encode or play sound and pictures, jitter buffering, asking for lost packets, congestion control.

mod camera;
mod capabilities;
mod dtls;
mod error;
mod ice;
mod link;
mod metrics;
mod participant;
mod picture;
mod publisher;
mod reception;
mod reports;
mod service;
mod signaling;
mod srtp;
mod stun;
mod token;
mod transport;
mod voice;
mod window;
mod wishes;

pub use camera::{Camera, Shown};
pub use capabilities::{
    AUDIO_LEVEL_EXTENSION_ID, MID_EXTENSION_ID, OPUS_PAYLOAD_TYPE, TRANSPORT_SEQUENCE_EXTENSION_ID, VideoCodec,
    VideoEncoding, audio_producer_parameters, receive_capabilities, video_producer_parameters,
};
pub use dtls::{DtlsIdentity, DtlsRole};
pub use error::PeerError;
pub use ice::{IceCredentials, IceMode};
pub use link::{Direction, Gate, stamp_ns};
pub use metrics::Metrics;
pub use participant::{Consumed, JoinOptions, Participant};
pub use picture::{PicturePart, decode_picture, encode_picture};
pub use publisher::{Published, Publisher};
pub use reception::{LossReport, Reception, RetransmissionReception, StreamReception};
pub use reports::{Compound, Reports};
pub use service::{Service, ServiceOptions};
pub use signaling::Signaling;
pub use srtp::{Srtp, SrtpKeys, SrtpProfile};
pub use stun::BindingRequest;
pub use token::{Claims, mint};
pub use transport::{Established, Remote, Transport, TransportOptions};
pub use voice::{VoicePayload, now_ns};
pub use window::{Place, Window};
pub use wishes::Wish;

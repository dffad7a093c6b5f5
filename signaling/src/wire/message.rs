//! What the service says: answers to one connection, pushes to many.
//!
//! Everything borrows: a message is made, serialised once by [`to_frame`], and the bytes are shared by all addressees.

use serde::Serialize;

use super::request::{Direction, Kind, Source};
use super::{ChannelId, Frame, PublicId, RequestKey, UserId};
use crate::negotiation::{DtlsParameters, IceCandidate, IceParameters, RtpCapabilities, RtpParameters, StreamType};

/// A participant's state as everybody in the room sees it. All starts `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The user switched the microphone off.
    pub muted: bool,
    /// The user wants to hear nothing.
    pub deafened: bool,
    /// The user's camera is on.
    pub video_enabled: bool,
    /// The user shows a screen.
    pub screen_sharing: bool,
    /// A moderator switched the microphone off.
    pub server_muted: bool,
    /// A moderator took the user's hearing.
    pub server_deafened: bool,
}

/// One of the others in `joined`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Other<'a> {
    /// Who.
    pub user_id: &'a UserId,
    /// In what state.
    pub state: State,
    /// Since when, in milliseconds since the Unix epoch.
    pub joined_at: u64,
}

/// STUN and TURN servers for clients: none yet, every candidate is the host's own.
pub type IceServers = [(); 0];

/// The answer to a request that was carried out.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "each variant is the answer of its name, each field what clients call it")]
pub enum Answer<'a> {
    Joined {
        channel_id: &'a ChannelId,
        participants: Vec<Other<'a>>,
        ice_servers: IceServers,
        settings: Settings,
    },
    Left {
        channel_id: &'a ChannelId,
    },
    TransportCreated {
        transport_id: &'a PublicId,
        direction: Direction,
        ice_parameters: &'a IceParameters,
        ice_candidates: &'a [IceCandidate],
        dtls_parameters: &'a DtlsParameters,
        ice_servers: IceServers,
    },
    TransportConnected {
        transport_id: &'a PublicId,
    },
    TransportClosed {
        transport_id: &'a PublicId,
    },
    Produced {
        producer_id: &'a PublicId,
        source: Source,
    },
    ProducerClosed {
        producer_id: &'a PublicId,
    },
    ProducerPaused {
        producer_id: &'a PublicId,
    },
    ProducerResumed {
        producer_id: &'a PublicId,
    },
    Consumed {
        consumer_id: &'a PublicId,
        producer_id: &'a PublicId,
        kind: Kind,
        rtp_parameters: &'a RtpParameters,
        user_id: &'a UserId,
        source: Source,
        consumer_type: StreamType,
        producer_paused: bool,
    },
    ConsumerClosed {
        consumer_id: &'a PublicId,
    },
    ConsumerPaused {
        consumer_id: &'a PublicId,
    },
    ConsumerResumed {
        consumer_id: &'a PublicId,
    },
    KeyFrameRequested {
        consumer_id: &'a PublicId,
    },
    StateUpdated {
        muted: bool,
        deafened: bool,
        video_enabled: bool,
        screen_sharing: bool,
    },
    Pong,
}

/// What the service says unasked.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "each variant is the message of its name, each field what clients call it")]
pub enum Push<'a> {
    Connected {
        connection_id: &'a PublicId,
        user_id: &'a UserId,
        protocol: &'static str,
        heartbeat_ms: u64,
        resume_token: Option<&'a str>,
        resume_window_ms: u64,
    },
    RouterCapabilities {
        rtp_capabilities: &'a RtpCapabilities,
    },
    NewProducer {
        producer_id: &'a PublicId,
        user_id: &'a UserId,
        kind: Kind,
        source: Source,
        paused: bool,
    },
    UserStateUpdate {
        user_id: &'a UserId,
        #[serde(flatten)]
        state: State,
    },
    UserJoined {
        user_id: &'a UserId,
    },
    UserLeft {
        user_id: &'a UserId,
    },
    ProducerClosed {
        producer_id: &'a PublicId,
        user_id: &'a UserId,
    },
    ProducerPaused {
        producer_id: &'a PublicId,
        user_id: &'a UserId,
    },
    ProducerResumed {
        producer_id: &'a PublicId,
        user_id: &'a UserId,
    },
    ConsumerClosed {
        consumer_id: &'a PublicId,
        producer_id: &'a PublicId,
    },
    ConsumerPaused {
        consumer_id: &'a PublicId,
        producer_id: &'a PublicId,
    },
    ConsumerResumed {
        consumer_id: &'a PublicId,
        producer_id: &'a PublicId,
    },
    TransportState {
        transport_id: &'a PublicId,
        ice_state: &'static str,
        dtls_state: &'static str,
    },
    TransportClosed {
        transport_id: &'a PublicId,
        reason: &'static str,
    },
}

impl Answer<'_> {
    /// The frame, with the `id` of the request.
    pub fn to_frame(&self, key: Option<&RequestKey>) -> Frame {
        #[derive(Serialize)]
        struct Keyed<'a> {
            #[serde(flatten)]
            answer: &'a Answer<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a RequestKey>,
        }
        to_frame(&Keyed { answer: self, id: key })
    }
}

impl Push<'_> {
    /// The frame.
    pub fn to_frame(&self) -> Frame {
        to_frame(self)
    }
}

/// Serialises a message. Messages are trees of plain values, so this cannot fail; were it ever to, the client gets a
/// frame that it can only ignore.
pub(super) fn to_frame(message: &impl Serialize) -> Frame {
    serde_json::to_string(message).unwrap_or_else(|_| "{}".to_owned()).into()
}

/// What clients should send: `settings` of `joined`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Settings {
    audio: AudioSettings,
    video: VideoSettings,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct AudioSettings {
    opus: OpusSettings,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct OpusSettings {
    #[serde(rename = "clockRate")]
    clock_rate_hz: u32,
    channels: u8,
    #[serde(rename = "bitrate")]
    bitrate_bps: u32,
    useinbandfec: u8,
    usedtx: u8,
    #[serde(rename = "maxaveragebitrate")]
    average_bitrate_max_bps: u32,
    #[serde(rename = "maxplaybackrate")]
    playback_rate_max_hz: u32,
    stereo: u8,
    #[serde(rename = "sprop-stereo")]
    sprop_stereo: u8,
}

impl Default for OpusSettings {
    fn default() -> Self {
        Self {
            clock_rate_hz: 48_000,
            channels: 2,
            bitrate_bps: 128_000,
            useinbandfec: 1,
            usedtx: 1,
            average_bitrate_max_bps: 128_000,
            playback_rate_max_hz: 48_000,
            stereo: 1,
            sprop_stereo: 1,
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
struct VideoSettings {
    layers: [LayerSettings; 3],
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerSettings {
    scalability_mode: &'static str,
    #[serde(rename = "maxBitrate")]
    bitrate_max_bps: u32,
    #[serde(rename = "maxFramerate")]
    frame_rate_max_hz: u8,
}

impl Default for VideoSettings {
    fn default() -> Self {
        let layer = |scalability_mode, bitrate_max_bps, frame_rate_max_hz| LayerSettings {
            scalability_mode,
            bitrate_max_bps,
            frame_rate_max_hz,
        };
        Self { layers: [layer("L1T1", 150_000, 15), layer("L1T2", 500_000, 24), layer("L1T3", 1_500_000, 30)] }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn value(frame: &Frame) -> Value {
        serde_json::from_str(frame).unwrap()
    }

    #[test]
    fn an_answer_carries_type_fields_and_id() {
        let channel_id = ChannelId::new("lobby").unwrap();
        let left = Answer::Left { channel_id: &channel_id };
        assert_eq!(value(&left.to_frame(None)), json!({"type": "left", "channelId": "lobby"}));
        let key = RequestKey::Text("k".into());
        assert_eq!(value(&left.to_frame(Some(&key))), json!({"type": "left", "channelId": "lobby", "id": "k"}));
    }

    #[test]
    fn a_state_update_is_flat() {
        let user_id = UserId::new("alice").unwrap();
        let push = Push::UserStateUpdate { user_id: &user_id, state: State { muted: true, ..State::default() } };
        let expected = json!({
            "type": "userStateUpdate", "userId": "alice", "muted": true, "deafened": false, "videoEnabled": false,
            "screenSharing": false, "serverMuted": false, "serverDeafened": false,
        });
        assert_eq!(value(&push.to_frame()), expected);
    }

    #[test]
    fn settings_have_the_keys_that_clients_know() {
        let settings = serde_json::to_value(Settings::default()).unwrap();
        let opus = json!({
            "clockRate": 48_000, "channels": 2, "bitrate": 128_000, "useinbandfec": 1, "usedtx": 1,
            "maxaveragebitrate": 128_000, "maxplaybackrate": 48_000, "stereo": 1, "sprop-stereo": 1,
        });
        let layers = json!([
            {"scalabilityMode": "L1T1", "maxBitrate": 150_000, "maxFramerate": 15},
            {"scalabilityMode": "L1T2", "maxBitrate": 500_000, "maxFramerate": 24},
            {"scalabilityMode": "L1T3", "maxBitrate": 1_500_000, "maxFramerate": 30},
        ]);
        assert_eq!(settings, json!({"audio": {"opus": opus}, "video": {"layers": layers}}));
    }
}

//! Requests of clients.
//!
//! [`Envelope::read`] turns the text of a frame into one [`Request`], or into the refusal that answers it. Fields that no
//! request knows are ignored; the parameters of media stay JSON here, because negotiation reads them with errors of its own.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::error::{bad_json, shown_name};
use super::{ErrorCode, Refusal, strict_json};

/// The `id` that a client gave to a request; the answer repeats it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RequestKey {
    /// A number.
    Number(Number),
    /// A string of at most [`RequestKey::LEN_MAX`] bytes.
    Text(String),
}

impl RequestKey {
    /// The longest `id` in bytes: a UUID with much to spare, and too short to make answers long.
    pub const LEN_MAX: usize = 128;

    pub(super) fn read(value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Number(number) => Ok(Self::Number(number)),
            Value::String(text) if text.len() <= Self::LEN_MAX => Ok(Self::Text(text)),
            Value::String(_) => {
                Err(Refusal::new(ErrorCode::TooLarge, format!("`id` has more than {} bytes.", Self::LEN_MAX)))
            }
            _ => Err(Refusal::bad_request("`id` is neither a string nor a number.")),
        }
    }
}

/// Which way a transport carries media, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client.
    Send,
    /// To the client.
    Recv,
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// What a stream shows or sounds of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A microphone.
    Mic,
    /// A camera.
    Camera,
    /// A screen.
    Screen,
    /// The sound of a screen.
    ScreenAudio,
}

impl Source {
    /// The kind of media that this source gives.
    pub fn kind(self) -> Kind {
        match self {
            Self::Mic | Self::ScreenAudio => Kind::Audio,
            Self::Camera | Self::Screen => Kind::Video,
        }
    }
}

/// `join`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// The channel to join.
    pub channel_id: String,
    /// What the client can decode.
    pub rtp_capabilities: Value,
}

/// `leave`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leave {
    /// The joined channel.
    pub channel_id: String,
}

/// `createTransport`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct CreateTransport {
    /// Which of the two.
    pub direction: Direction,
}

/// `connectTransport`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectTransport {
    /// The transport.
    pub transport_id: String,
    /// The client's side of DTLS.
    pub dtls_parameters: Value,
}

/// `produce`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Produce {
    /// The `send` transport.
    pub transport_id: String,
    /// Audio or video.
    pub kind: Kind,
    /// What the client sends.
    pub rtp_parameters: Value,
    /// What it is; guessed where left out.
    pub source: Option<Source>,
    /// Whether it starts paused.
    pub paused: Option<bool>,
}

/// `consume`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consume {
    /// The stream.
    pub producer_id: String,
}

/// A request that names a transport and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfTransport {
    /// The transport.
    pub transport_id: String,
}

/// A request that names a producer and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfProducer {
    /// The producer.
    pub producer_id: String,
}

/// A request that names a consumer and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfConsumer {
    /// The consumer.
    pub consumer_id: String,
}

/// `updateState`; a field that is missing means unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateState {
    /// Whether the user's microphone is off.
    pub muted: Option<bool>,
    /// Whether the user hears nothing.
    pub deafened: Option<bool>,
    /// Whether the user's camera is on.
    pub video_enabled: Option<bool>,
    /// Whether the user shows a screen.
    pub screen_sharing: Option<bool>,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the request of its name")]
pub enum Request {
    Join(Join),
    Leave(Leave),
    CreateTransport(CreateTransport),
    ConnectTransport(ConnectTransport),
    CloseTransport(OfTransport),
    Produce(Produce),
    CloseProducer(OfProducer),
    PauseProducer(OfProducer),
    ResumeProducer(OfProducer),
    Consume(Consume),
    CloseConsumer(OfConsumer),
    PauseConsumer(OfConsumer),
    ResumeConsumer(OfConsumer),
    RequestKeyFrame(OfConsumer),
    UpdateState(UpdateState),
    Ping,
}

impl Request {
    fn read(name: &str, fields: Map<String, Value>) -> Result<Self, Refusal> {
        Ok(match name {
            "join" => Self::Join(read_fields(fields)?),
            "leave" => Self::Leave(read_fields(fields)?),
            "createTransport" => Self::CreateTransport(read_fields(fields)?),
            "connectTransport" => Self::ConnectTransport(read_fields(fields)?),
            "closeTransport" => Self::CloseTransport(read_fields(fields)?),
            "produce" => Self::Produce(read_fields(fields)?),
            "closeProducer" => Self::CloseProducer(read_fields(fields)?),
            "pauseProducer" => Self::PauseProducer(read_fields(fields)?),
            "resumeProducer" => Self::ResumeProducer(read_fields(fields)?),
            "consume" => Self::Consume(read_fields(fields)?),
            "closeConsumer" => Self::CloseConsumer(read_fields(fields)?),
            "pauseConsumer" => Self::PauseConsumer(read_fields(fields)?),
            "resumeConsumer" => Self::ResumeConsumer(read_fields(fields)?),
            "requestKeyFrame" => Self::RequestKeyFrame(read_fields(fields)?),
            "updateState" => Self::UpdateState(read_fields(fields)?),
            "ping" => Self::Ping,
            _ => return Err(Refusal::new(ErrorCode::UnknownType, "No request has this `type`.")),
        })
    }
}

/// A frame that is a JSON object: a request, or the refusal that answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The client's `id`.
    pub key: Option<RequestKey>,
    /// The `type`, as far as answers repeat it.
    pub name: Option<String>,
    /// The request itself.
    pub request: Result<Request, Refusal>,
}

impl Envelope {
    /// Reads the text of one frame.
    ///
    /// # Errors
    /// [`ErrorCode::BadJson`] where it is not one strict JSON object; nothing in it can be trusted then, its `id` neither.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let mut fields = strict_json::read_object(text).map_err(|fault| bad_json(&fault))?;
        let name = fields.get("type").and_then(shown_name);
        let key = match fields.remove("id").filter(|value| !value.is_null()).map(RequestKey::read).transpose() {
            Ok(key) => key,
            Err(refusal) => return Ok(Self { key: None, name, request: Err(refusal) }),
        };
        let request = match fields.remove("type") {
            Some(Value::String(full_name)) => Request::read(&full_name, fields),
            Some(_) => Err(Refusal::bad_request("`type` is not a string.")),
            None => Err(Refusal::bad_request("`type` is missing.")),
        };
        Ok(Self { key, name, request })
    }
}

fn read_fields<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let path = error.path().to_string();
        let fault = error.into_inner();
        // A missing field is named by the fault itself, and its path is the object that lacks it.
        Refusal::bad_request(if path == "." { format!("{fault}.") } else { format!("`{path}`: {fault}.") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Refusal {
        Envelope::read(text).and_then(|envelope| envelope.request).unwrap_err()
    }

    #[test]
    fn a_request_is_read_with_its_id_and_unknown_fields_are_ignored() {
        let envelope = Envelope::read(r#"{"type":"leave","id":"k1","channelId":"lobby","more":[1]}"#).unwrap();
        assert_eq!(envelope.key, Some(RequestKey::Text("k1".into())));
        assert_eq!(envelope.name.as_deref(), Some("leave"));
        assert_eq!(envelope.request, Ok(Request::Leave(Leave { channel_id: "lobby".into() })));
    }

    #[test]
    fn a_refusal_says_where_the_fault_is() {
        assert!(refusal(r#"{"type":"leave"}"#).message.contains("channelId"));
        assert!(refusal(r#"{"type":"leave","channelId":5}"#).message.starts_with("`channelId`:"));
        assert!(
            refusal(r#"{"type":"produce","transportId":"a","kind":"smell","rtpParameters":{}}"#)
                .message
                .contains("kind")
        );
        assert_eq!(refusal(r#"{"type":"produce","transportId":"a","kind":"smell"}"#).code, ErrorCode::BadRequest);
    }

    #[test]
    fn types_that_no_request_has_are_unknown_and_cut_short() {
        let text = format!(r#"{{"type":"{}","id":1}}"#, "x".repeat(5000));
        let envelope = Envelope::read(&text).unwrap();
        assert_eq!(envelope.request.unwrap_err().code, ErrorCode::UnknownType);
        assert_eq!(envelope.name.unwrap().len(), 64);
        for later in ["resume", "moderate", "getStats", "renewToken", "setPreferredLayers", "setPriority", "restartIce"]
        {
            assert_eq!(refusal(&format!(r#"{{"type":"{later}"}}"#)).code, ErrorCode::UnknownType);
        }
    }

    #[test]
    fn ids_are_strings_or_numbers_of_bounded_length() {
        assert_eq!(refusal(r#"{"type":"ping","id":{}}"#).code, ErrorCode::BadRequest);
        assert_eq!(refusal(&format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(129))).code, ErrorCode::TooLarge);
        assert_eq!(Envelope::read(r#"{"type":"ping","id":null}"#).unwrap().key, None);
    }

    #[test]
    fn no_object_and_a_key_twice_are_bad_json() {
        for text in ["[]", "nonsense", r#"{"type":"ping","type":"ping"}"#] {
            assert_eq!(refusal(text).code, ErrorCode::BadJson);
        }
        assert_eq!(refusal("{}").code, ErrorCode::BadRequest);
        assert_eq!(refusal(r#"{"type":7}"#).code, ErrorCode::BadRequest);
    }
}

//! A participant of a call: a signaling connection and its two transports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::PeerError;
use crate::camera::{Camera, Shown};
use crate::capabilities::{
    VideoCodec, VideoEncoding, audio_producer_parameters, receive_capabilities, video_producer_parameters,
};
use crate::publisher::{Published, Publisher};
use crate::reception::Reception;
use crate::signaling::Signaling;
use crate::transport::{Remote, Transport, TransportOptions};

/// The Close code of one who leaves.
const NORMAL_CLOSURE: u16 = 1000;

/// Where and as whom to join.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The signaling address, `ws://…/signaling`.
    pub url: String,
    /// The token.
    pub token: String,
    /// The channel.
    pub channel: String,
    /// The address that the transports' sockets are bound on.
    pub local: IpAddr,
}

impl JoinOptions {
    /// Joins `channel` at `url` from IPv4 loopback.
    pub fn new(url: &str, token: &str, channel: &str) -> Self {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self { url: url.into(), token: token.into(), channel: channel.into(), local }
    }
}

/// A stream that the participant is sent.
#[derive(Clone, Debug)]
pub struct Consumed {
    /// The service's name of the consumer.
    pub consumer_id: String,
    /// The producer that it forwards.
    pub producer_id: String,
    /// The SSRC of its packets.
    pub ssrc: u32,
    /// The SSRC of its retransmissions, where it has some.
    pub rtx_ssrc: Option<u32>,
    /// The payload type of its packets.
    pub payload_type: u8,
}

/// A joined participant. Dropping it is a killed tab: every socket ends without a word.
pub struct Participant {
    signaling: Signaling,
    options: JoinOptions,
    joined: Value,
    send: Option<(String, Arc<Transport>)>,
    receive: Option<(String, Arc<Transport>)>,
}

impl Participant {
    /// Connects and joins.
    pub async fn join(options: JoinOptions) -> Result<Self, PeerError> {
        let signaling = Signaling::connect(&options.url, &options.token).await?;
        let router = signaling.push("routerCapabilities", |_| true).await?;
        let capabilities = receive_capabilities(&router["rtpCapabilities"]);
        let fields = json!({ "channelId": options.channel, "rtpCapabilities": capabilities });
        let joined = signaling.request("join", fields).await?;
        Ok(Self { signaling, options, joined, send: None, receive: None })
    }

    /// The signaling connection.
    pub fn signaling(&self) -> &Signaling {
        &self.signaling
    }

    /// The answer to the join.
    pub fn joined(&self) -> &Value {
        &self.joined
    }

    /// The sending transport, once it is made.
    pub fn send_transport(&self) -> Option<&Arc<Transport>> {
        self.send.as_ref().map(|(_, transport)| transport)
    }

    /// The receiving transport, once it is made.
    pub fn receive_transport(&self) -> Option<&Arc<Transport>> {
        self.receive.as_ref().map(|(_, transport)| transport)
    }

    /// Transport options that fit where this participant joined from.
    pub fn transport_options(&self) -> TransportOptions {
        TransportOptions { local: SocketAddr::new(self.options.local, 0), ..TransportOptions::default() }
    }

    /// Asks for a transport without connecting it. Gives its name and what the service said of it.
    pub async fn create_transport(&self, direction: &str) -> Result<(String, Remote), PeerError> {
        let created = self.signaling.request("createTransport", json!({ "direction": direction })).await?;
        let id = text(&created, "transportId")?;
        Ok((id, Remote::from_message(&created, SocketAddr::new(self.options.local, 0))?))
    }

    /// Tells the service of `transport`, then starts it towards `remote`.
    pub async fn start_transport(&self, id: &str, transport: &Transport, remote: Remote) -> Result<(), PeerError> {
        let fields = json!({ "transportId": id, "dtlsParameters": transport.dtls_parameters() });
        self.signaling.request("connectTransport", fields).await?;
        transport.connect(remote);
        Ok(())
    }

    /// Makes and connects the sending transport.
    pub async fn open_send(&mut self, options: TransportOptions) -> Result<Arc<Transport>, PeerError> {
        let opened = self.open("send", options).await?;
        let transport = Arc::clone(&opened.1);
        self.send = Some(opened);
        Ok(transport)
    }

    /// Makes and connects the receiving transport.
    pub async fn open_receive(&mut self, options: TransportOptions) -> Result<Arc<Transport>, PeerError> {
        let opened = self.open("recv", options).await?;
        let transport = Arc::clone(&opened.1);
        self.receive = Some(opened);
        Ok(transport)
    }

    async fn open(&self, direction: &str, options: TransportOptions) -> Result<(String, Arc<Transport>), PeerError> {
        let (id, remote) = self.create_transport(direction).await?;
        let transport = Arc::new(Transport::open(options)?);
        self.start_transport(&id, &transport, remote).await?;
        transport.connected().await?;
        Ok((id, transport))
    }

    /// Publishes a microphone and starts to send voice, over the sending transport, which is made if it is not there.
    pub async fn publish_audio(&mut self) -> Result<Publisher, PeerError> {
        if self.send.is_none() {
            self.open_send(self.transport_options()).await?;
        }
        let published = self.produce_audio(rand::random(), "0").await?;
        let (_, transport) = self.send.as_ref().ok_or_else(|| PeerError::Packet("no sending transport".into()))?;
        Ok(Publisher::start(Arc::clone(transport), published))
    }

    /// Announces a microphone on the sending transport without sending anything.
    pub async fn produce_audio(&self, ssrc: u32, mid: &str) -> Result<Published, PeerError> {
        let producer_id = self.produce("audio", audio_producer_parameters(ssrc, mid, "peer")).await?;
        Ok(Published { producer_id, publisher: rand::random(), ssrc, mid: mid.to_owned() })
    }

    /// Publishes a camera and starts to send pictures, over the sending transport, which is made if it is not there: one
    /// encoding for each of `rids`, the lowest first, or a single one without a name.
    pub async fn publish_camera(&mut self, rids: &[&str]) -> Result<Camera, PeerError> {
        if self.send.is_none() {
            self.open_send(self.transport_options()).await?;
        }
        let encodings: Vec<_> = match rids {
            [] => vec![VideoEncoding::random(None)],
            rids => rids.iter().map(|rid| VideoEncoding::random(Some(rid))).collect(),
        };
        let shown = self.produce_video(VideoCodec::Vp8, encodings, "1").await?;
        let (_, transport) = self.send.as_ref().ok_or_else(|| PeerError::Packet("no sending transport".into()))?;
        Ok(Camera::start(Arc::clone(transport), shown))
    }

    /// Announces a camera on the sending transport without sending anything.
    pub async fn produce_video(
        &self,
        codec: VideoCodec,
        encodings: Vec<VideoEncoding>,
        mid: &str,
    ) -> Result<Shown, PeerError> {
        let producer_id = self.produce("video", video_producer_parameters(codec, &encodings, mid, "peer")).await?;
        Ok(Shown { producer_id, publisher: rand::random(), encodings, mid: mid.to_owned() })
    }

    async fn produce(&self, kind: &str, parameters: Value) -> Result<String, PeerError> {
        let (id, _) = self.send.as_ref().ok_or_else(|| PeerError::Packet("no sending transport".into()))?;
        let fields = json!({ "transportId": id, "kind": kind, "rtpParameters": parameters });
        text(&self.signaling.request("produce", fields).await?, "producerId")
    }

    /// Closes a producer.
    pub async fn close_producer(&self, producer_id: &str) -> Result<(), PeerError> {
        self.signaling.request("closeProducer", json!({ "producerId": producer_id })).await.map(drop)
    }

    /// Takes the stream of `producer_id` over the receiving transport, which is made if it is not there, and lets it flow.
    pub async fn consume(&mut self, producer_id: &str) -> Result<Consumed, PeerError> {
        if self.receive.is_none() {
            self.open_receive(self.transport_options()).await?;
        }
        let consumed = self.signaling.request("consume", json!({ "producerId": producer_id })).await?;
        let consumer_id = text(&consumed, "consumerId")?;
        let parameters = &consumed["rtpParameters"];
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let ssrc = number(&parameters["encodings"][0]["ssrc"]);
        let rtx_ssrc = number(&parameters["encodings"][0]["rtx"]["ssrc"]);
        let payload_type = number(&parameters["codecs"][0]["payloadType"]).and_then(|number| u8::try_from(number).ok());
        let (Some(ssrc), Some(payload_type)) = (ssrc, payload_type) else {
            return Err(PeerError::Protocol("consumed lacks an SSRC or a payload type".into()));
        };
        if let (Some((_, transport)), Some(rtx_ssrc)) = (&self.receive, rtx_ssrc) {
            transport.expect_retransmissions(rtx_ssrc);
        }
        self.signaling.request("resumeConsumer", json!({ "consumerId": consumer_id })).await?;
        Ok(Consumed { consumer_id, producer_id: producer_id.to_owned(), ssrc, rtx_ssrc, payload_type })
    }

    /// Waits until someone's stream is announced, and takes it.
    pub async fn consume_next(&mut self) -> Result<Consumed, PeerError> {
        let announced = self.signaling.push("newProducer", |_| true).await?;
        self.consume(&text(&announced, "producerId")?).await
    }

    /// What has arrived on the receiving transport.
    pub fn reception(&self) -> Reception {
        self.receive.as_ref().map(|(_, transport)| transport.reception()).unwrap_or_default()
    }

    /// Leaves the channel, and closes the connection as one does who leaves.
    pub async fn leave(self) -> Result<(), PeerError> {
        self.signaling.request("leave", json!({ "channelId": self.options.channel })).await?;
        self.signaling.close(NORMAL_CLOSURE).await
    }
}

fn text(message: &Value, key: &str) -> Result<String, PeerError> {
    message[key].as_str().map(str::to_owned).ok_or_else(|| PeerError::Protocol(format!("an answer lacks {key}")))
}

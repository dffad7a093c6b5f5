//! One participant's way in, from the token to streams that flow, each part of it timed; and its stay, until it leaves.
//!
//! Connected transports go to a lane; what stays here is the signaling connection.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peer::{
    DtlsIdentity, PeerError, Remote, Signaling, Transport, TransportOptions, VideoEncoding, audio_producer_parameters,
    now_ns, receive_capabilities, video_producer_parameters,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

use crate::lane::{LaneOrders, Order, ProducerStart, Receiver, Sender, Side, StreamStart};
use crate::measure::histogram::Durations;
use crate::run::{local_for, loopback_of};
use crate::shape::{Seat, Shape};
use crate::source::{Format, Kind, Ledger, Library, Picture, Source, Video, Voice};
use crate::token::TokenSource;

/// Requests that a connection may make at once; the protocol allows bursts of 200.
const REQUESTS_BURST: u64 = 150;
/// Between requests beyond those; the protocol allows 50 a second.
const REQUEST_INTERVAL: Duration = Duration::from_millis(25);
/// How often a request that was refused for its rate is made again.
const RATE_RETRIES: usize = 10;
/// Before it is made again; the protocol refills 50 a second.
const RATE_PAUSE: Duration = Duration::from_millis(500);
/// A stream may be announced before its producer's own answer was read; it is looked for again so often.
const LOOKUPS_MAX: usize = 100;
/// Between two look-ups.
const LOOKUP_PAUSE: Duration = Duration::from_millis(20);
/// The Close code of one who leaves.
const NORMAL_CLOSURE: u16 = 1000;

/// What all participants of a run share.
pub struct Call {
    /// The signaling address.
    pub url: String,
    /// Where tokens come from.
    pub tokens: TokenSource,
    /// The address that sockets are bound on, where one was asked for.
    pub local: Option<IpAddr>,
    /// The certificate of all transports: making one for each would cost more than the handshake.
    pub identity: DtlsIdentity,
    /// The lanes.
    pub lanes: Vec<LaneOrders>,
    /// The beginning of all times of sources.
    pub epoch: Instant,
    /// The shape.
    pub shape: Shape,
    /// What cameras show.
    pub camera: Picture,
    /// What screens show.
    pub screen: Picture,
    /// The beginning of all names of users and channels: the run's own.
    pub name: String,
    /// Bounds those who are joining at one time.
    pub joining: Semaphore,
    /// Counts and times.
    pub tally: Tally,
    /// The streams of a capture, which go before synthetic ones.
    pub library: Option<Library>,
    /// The run's producers by the server's names.
    pub publishers: Mutex<HashMap<String, Announced>>,
    /// The next transport's key.
    pub next_key: AtomicU64,
    /// The server knows no `resumeConsumer`: its media flows at once.
    pub is_flowing_at_once: AtomicBool,
}

/// A producer as those know it who take its stream.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Its number in payloads.
    pub publisher: u32,
    /// Where it notes payloads that do not speak for themselves.
    pub ledger: Option<Arc<Ledger>>,
}

/// Counts and times of joins.
#[derive(Default)]
pub struct Tally(Mutex<JoinFigures>);

/// Counts and times of joins, as they stand.
#[derive(Clone, Default)]
pub struct JoinFigures {
    /// Joins that were begun.
    pub attempted: u64,
    /// Joins that came to their end.
    pub joined: u64,
    /// Those who left as planned.
    pub left: u64,
    /// Joins that failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Of those, such as waited in vain for something.
    pub timed_out: u64,
    /// Connections that ended without our doing, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Streams that could not be taken, by reason.
    pub consume_failures: BTreeMap<String, u64>,
    /// Until the WebSocket is open.
    pub web_socket: Durations,
    /// From the first check of a transport to its answer.
    pub ice: Durations,
    /// From there to the keys.
    pub dtls: Durations,
    /// From the beginning until both transports are connected and all producers made.
    pub total: Durations,
    /// From asking for a stream to the answer.
    pub consume: Durations,
    /// Round trips of all requests.
    pub round_trip: Durations,
}

impl JoinFigures {
    /// Joins that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Connections that ended without our doing.
    pub fn lost_total(&self) -> u64 {
        self.lost.values().sum()
    }
}

impl Tally {
    /// The figures, to be looked at or changed.
    pub fn figures(&self) -> MutexGuard<'_, JoinFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a participant's stay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to leave.
    Left,
    /// It did not get in, or the connection ended.
    Failed,
}

/// Joins, stays until `leave` says so, and leaves.
pub async fn participate(call: Arc<Call>, seat: Arc<Seat>, attempt: u32, leave: oneshot::Receiver<()>) -> Ended {
    let mut stay = Stay {
        call: &call,
        seat: &seat,
        attempt,
        signaling: None,
        keys: Vec::new(),
        streams: HashMap::new(),
        requests: 0,
    };
    call.tally.figures().attempted += 1;
    let ended = tokio::select! {
        _ = leave => Ended::Left,
        () = stay.run() => Ended::Failed,
    };
    if ended == Ended::Left {
        call.tally.figures().left += 1;
        stay.keys.drain(..).for_each(|(lane, key)| lane.give(Order::Close { key }));
        if let Some(signaling) = stay.signaling.take() {
            // Whether the server still hears it or not, the participant is gone.
            let _ = signaling.close(NORMAL_CLOSURE).await;
        }
    }
    ended
}

/// One participant between its coming and going.
struct Stay<'a> {
    call: &'a Call,
    seat: &'a Seat,
    attempt: u32,
    signaling: Option<Signaling>,
    /// Its transports in lanes.
    keys: Vec<(LaneOrders, u64)>,
    /// Lane, transport and SSRC of the streams that it takes, by the names of producers.
    streams: HashMap<String, (LaneOrders, u64, u32)>,
    requests: u64,
}

/// The sources of a participant, by their numbers in payloads.
const SOURCES: u32 = 3;

impl Stay<'_> {
    async fn run(&mut self) {
        let joined = {
            let permit = self.call.joining.acquire().await;
            let token = self.token().await;
            let began = (Instant::now(), now_ns());
            let joined = match token {
                Ok(token) => self.join(&token, began.1).await,
                Err(error) => Err(error),
            };
            drop(permit);
            if joined.is_ok() {
                let mut figures = self.call.tally.figures();
                figures.joined += 1;
                figures.total.note(began.0.elapsed());
            }
            joined
        };
        let receiving = match joined {
            Ok(receiving) => receiving,
            Err(error) => {
                let mut figures = self.call.tally.figures();
                figures.timed_out += u64::from(matches!(error, PeerError::TimedOut(_)));
                *figures.failures.entry(error.to_string()).or_default() += 1;
                return;
            }
        };
        let error = self.stay(&receiving).await;
        *self.call.tally.figures().lost.entry(error.to_string()).or_default() += 1;
    }

    fn channel(&self) -> String {
        format!("{}-r{}", self.call.name, self.seat.room)
    }

    /// The token, whose making is no part of a join.
    async fn token(&self) -> Result<String, PeerError> {
        let user = format!("{}p{}", self.channel(), self.seat.place);
        let token = self.call.tokens.token(&user, &self.channel()).await;
        token.map_err(|error| PeerError::Protocol(error.to_string()))
    }

    /// Everything up to the point where it sends and can be sent streams.
    async fn join(&mut self, token: &str, began_at_ns: u64) -> Result<(LaneOrders, u64), PeerError> {
        let channel = self.channel();
        let connecting = Instant::now();
        let signaling = Signaling::connect(&self.call.url, token).await?;
        self.call.tally.figures().web_socket.note(connecting.elapsed());
        let router = signaling.push("routerCapabilities", |_| true).await?;
        let capabilities = receive_capabilities(&router["rtpCapabilities"]);
        self.signaling = Some(signaling);
        self.request("join", json!({ "channelId": channel, "rtpCapabilities": capabilities })).await?;

        let (_, transport) = self.open("recv").await?;
        let receiver = Receiver::new(self.seat.is_verified, began_at_ns);
        let receiving = self.hand_over(transport, Side::Receive(receiver))?;
        if self.seat.has_microphone || self.seat.has_camera || self.seat.has_screen {
            let (id, transport) = self.open("send").await?;
            let producers = self.produce(&id).await?;
            self.hand_over(transport, Side::Send(Sender::new(producers)))?;
        }
        Ok(receiving)
    }

    /// Makes and connects a transport.
    async fn open(&mut self, direction: &str) -> Result<(String, Transport), PeerError> {
        let local = self.call.local.unwrap_or_else(|| match local_for(&self.call.url) {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => loopback_of(self.seat),
            any => any,
        });
        let local = SocketAddr::new(local, 0);
        let created = self.request("createTransport", json!({ "direction": direction })).await?;
        let id = text(&created, "transportId")?;
        let remote = Remote::from_message(&created, local)?;
        let identity = Some(self.call.identity.clone());
        let transport = Transport::open(TransportOptions { local, identity, ..TransportOptions::default() })?;
        let fields = json!({ "transportId": id, "dtlsParameters": transport.dtls_parameters() });
        self.request("connectTransport", fields).await?;
        let connecting = Instant::now();
        transport.connect(remote);
        transport.ice_connected().await?;
        let checked = Instant::now();
        transport.connected().await?;
        let mut figures = self.call.tally.figures();
        figures.ice.note(checked - connecting);
        figures.dtls.note(checked.elapsed());
        drop(figures);
        Ok((id, transport))
    }

    /// Gives a connected transport to a lane.
    fn hand_over(&mut self, transport: Transport, side: Side) -> Result<(LaneOrders, u64), PeerError> {
        let key = self.call.next_key.fetch_add(1, Ordering::Relaxed);
        let lane = self.call.lanes[key as usize % self.call.lanes.len()].clone();
        let established = Box::new(transport.into_established()?);
        lane.give(Order::Open { key, established, side: Box::new(side) });
        self.keys.push((lane.clone(), key));
        Ok((lane, key))
    }

    /// Announces what it sends.
    async fn produce(&mut self, transport_id: &str) -> Result<Vec<ProducerStart>, PeerError> {
        let index = (self.seat.room * self.call.shape.participants + self.seat.place) as u32;
        let total = self.call.shape.participants_total() as u32;
        let first = self.attempt.wrapping_mul(total).wrapping_add(index).wrapping_mul(SOURCES);
        let mut producers = Vec::new();
        let sources =
            [("mic", self.seat.has_microphone), ("camera", self.seat.has_camera), ("screen", self.seat.has_screen)];
        for (number, (name, _)) in sources.into_iter().enumerate().filter(|(_, (_, is_there))| *is_there) {
            let (publisher, mid) = (first.wrapping_add(number as u32), number.to_string());
            let encoding = VideoEncoding::random(None);
            let source = self.source(name, publisher);
            let parameters = match source.format() {
                Format::Opus => audio_producer_parameters(encoding.ssrc, &mid, &self.call.name),
                Format::Video(codec) => {
                    video_producer_parameters(codec, std::slice::from_ref(&encoding), &mid, &self.call.name)
                }
            };
            let kind = source.format().kind().label();
            let fields =
                json!({ "transportId": transport_id, "kind": kind, "rtpParameters": parameters, "source": name });
            let produced = self.request("produce", fields).await?;
            let announced = Announced { publisher, ledger: source.ledger().cloned() };
            lock(&self.call.publishers).insert(text(&produced, "producerId")?, announced);
            producers.push(ProducerStart { publisher, ssrc: encoding.ssrc, rtx_ssrc: encoding.rtx_ssrc, mid, source });
        }
        Ok(producers)
    }

    /// Where the packets of the source called `name` come from: the capture, where it has such streams.
    fn source(&self, name: &str, publisher: u32) -> Source {
        let from_ns = u64::try_from(self.call.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let kind = if name == "mic" { Kind::Audio } else { Kind::Video };
        let clone = self.seat.room * self.call.shape.participants + self.seat.place;
        let played = self
            .call
            .library
            .as_ref()
            .and_then(|library| library.play(library.stream(kind, clone)?, publisher.into(), from_ns));
        match (played, name) {
            (Some(played), _) => Source::Played(played),
            (None, "mic") => {
                Source::Voice(Voice::new(publisher, self.seat.turns.clone(), self.call.shape.silent, from_ns))
            }
            (None, "camera") => Source::Video(Video::new(publisher, self.call.camera, from_ns)),
            (None, _) => Source::Video(Video::new(publisher, self.call.screen, from_ns)),
        }
    }

    /// Takes every stream that is announced, until the connection ends.
    async fn stay(&mut self, receiving: &(LaneOrders, u64)) -> PeerError {
        loop {
            let Some(signaling) = &self.signaling else { return PeerError::Protocol("no connection".into()) };
            let push = match signaling.next_push().await {
                Ok(push) => push,
                Err(error) => return error,
            };
            match push["type"].as_str() {
                Some("newProducer") => {
                    if let Err(error) = self.consume(&push, receiving).await {
                        if matches!(error, PeerError::Closed { .. } | PeerError::WebSocket(_)) {
                            return error;
                        }
                        // A producer may be gone before it is asked for, where people come and go.
                        if error.answer_code() != Some("not_found") {
                            let mut figures = self.call.tally.figures();
                            *figures.consume_failures.entry(error.to_string()).or_default() += 1;
                        }
                    }
                }
                Some("producerClosed" | "consumerClosed") => {
                    let stream = push["producerId"].as_str().and_then(|producer| self.streams.remove(producer));
                    if let Some((lane, key, ssrc)) = stream {
                        lane.give(Order::CloseStream { key, ssrc });
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes the stream that was announced, and lets it flow.
    async fn consume(&mut self, announced: &Value, (lane, key): &(LaneOrders, u64)) -> Result<(), PeerError> {
        let producer_id = text(announced, "producerId")?;
        let Announced { publisher, ledger } = self.announced(&producer_id).await?;
        let kind = if announced["kind"] == "video" { Kind::Video } else { Kind::Audio };
        let (asked, opened_at_ns) = (Instant::now(), now_ns());
        let consumed = self.request("consume", json!({ "producerId": producer_id })).await?;
        self.call.tally.figures().consume.note(asked.elapsed());
        let encoding = &consumed["rtpParameters"]["encodings"][0];
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let ssrc = number(&encoding["ssrc"])
            .ok_or_else(|| PeerError::Protocol("consumed tells no SSRC of the first encoding".into()))?;
        let start =
            StreamStart { ssrc, rtx_ssrc: number(&encoding["rtx"]["ssrc"]), kind, publisher, ledger, opened_at_ns };
        lane.give(Order::OpenStream { key: *key, start });
        self.streams.insert(producer_id, (lane.clone(), *key, ssrc));
        if self.call.is_flowing_at_once.load(Ordering::Relaxed) {
            return Ok(());
        }
        let consumer_id = text(&consumed, "consumerId")?;
        match self.request("resumeConsumer", json!({ "consumerId": consumer_id })).await {
            Err(error) if error.answer_code() == Some("unknown_type") => {
                self.call.is_flowing_at_once.store(true, Ordering::Relaxed);
                Ok(())
            }
            resumed => resumed.map(drop),
        }
    }

    /// What is known of the producer that the server calls `producer_id`.
    async fn announced(&self, producer_id: &str) -> Result<Announced, PeerError> {
        for _ in 0..LOOKUPS_MAX {
            let found = lock(&self.call.publishers).get(producer_id).cloned();
            if let Some(announced) = found {
                return Ok(announced);
            }
            sleep(LOOKUP_PAUSE).await;
        }
        Err(PeerError::Protocol("a stream was announced that nobody of this run sends".into()))
    }

    /// Makes a request within the rates of the protocol.
    async fn request(&mut self, kind: &str, fields: Value) -> Result<Value, PeerError> {
        let Some(signaling) = &self.signaling else { return Err(PeerError::Protocol("no connection".into())) };
        for _ in 0..RATE_RETRIES {
            self.requests += 1;
            if self.requests > REQUESTS_BURST {
                sleep(REQUEST_INTERVAL).await;
            }
            let asked = Instant::now();
            match signaling.request(kind, fields.clone()).await {
                Err(error) if error.answer_code() == Some("rate_limited") => sleep(RATE_PAUSE).await,
                Ok(answer) => {
                    self.call.tally.figures().round_trip.note(asked.elapsed());
                    return Ok(answer);
                }
                Err(error) => return Err(error),
            }
        }
        Err(PeerError::TimedOut(format!("{kind}, which was refused for its rate {RATE_RETRIES} times")))
    }
}

fn text(message: &Value, key: &str) -> Result<String, PeerError> {
    message[key].as_str().map(str::to_owned).ok_or_else(|| PeerError::Protocol(format!("an answer lacks {key}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

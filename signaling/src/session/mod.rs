//! One connection: frames in, one request at a time; messages out, as they come.
//!
//! The task reads a frame, paces it, parses it, hands the request to the rooms, and reads the next only when the answer has
//! come out of the queue: so requests are carried out and answered in their order. Between, it writes whatever waits, pings,
//! and listens for signs of life. All that can go wrong with a connection ends in one [`CloseReason`].
//!
//! Not here: what a request means.

pub mod outgoing;
mod pace;

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until, timeout};
use tungstenite::error::ProtocolError;

use self::outgoing::{Item, Outgoing, Outlet};
use self::pace::{Pace, Pacer};
use crate::auth::Identity;
use crate::metrics::Metrics;
use crate::room::{ConnectionKey, Rooms};
use crate::wire::{CloseReason, Envelope, ErrorCode, Label, Refusal};

/// How often a connection is pinged. Discord's gateways ask for a heartbeat as often; proxies drop idle ones after 60 s.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Silence after which a connection is dead: two pings lost, and half a period for the network.
const SILENCE_MAX: Duration = Duration::from_millis(37_500);

/// How long one write may take. A reader that takes nothing for so long has missed what a call needs.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of a connection may take: a close frame out, and the peer's back.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Frames in a row that are no JSON object before the connection is closed. A broken client never sends a good one; five
/// tell it from a slip, and are cheap.
const BAD_FRAMES_MAX: u32 = 5;

/// Messages written between two looks at the socket, so that a stream of pushes does not keep requests from being read.
const WRITES_AT_ONCE: usize = 64;

/// The rooms as all tasks of the signaling thread share them. The lock is never held across an await, so nobody waits for it.
#[derive(Clone)]
pub struct SharedRooms {
    rooms: Arc<Mutex<Rooms>>,
    /// Wakes whoever waits for the rooms' next deadline, as it may have come nearer.
    stirred: Arc<Notify>,
}

impl SharedRooms {
    /// Shares the rooms; `waker` is what shards wake them by.
    pub fn new(rooms: Rooms, waker: Arc<Notify>) -> Self {
        Self { rooms: Arc::new(Mutex::new(rooms)), stirred: waker }
    }

    /// The rooms, for one step.
    pub fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle that wakes [`Self::run`], from any thread.
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.stirred)
    }

    /// Passes on what the shards say, for ever.
    pub async fn run(&self) {
        loop {
            let deadline = {
                let mut rooms = self.lock();
                rooms.handle_shards(Instant::now());
                rooms.poll_timeout(Instant::now())
            };
            let due = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.stirred.notified() => {}
                () = due => {}
            }
        }
    }
}

/// A connection's place among the rooms; it is given up however the task ends.
struct Attendance {
    rooms: SharedRooms,
    key: ConnectionKey,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.rooms.lock().handle_disconnected(self.key);
        self.rooms.stirred.notify_one();
    }
}

/// Why a session ends.
enum End {
    /// The service ends it.
    Close(CloseReason),
    /// The client closed it, or is gone.
    Gone,
}

/// Serves one connection until it ends, and gives its `place` back then. `expires_in` is the rest of its token's life.
///
/// What is awaited holds the session alone, and the arguments of an `async fn` would stay beside it.
pub fn serve(
    socket: WebSocket,
    identity: &Identity,
    expires_in: Duration,
    rooms: SharedRooms,
    metrics: Metrics,
    place: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + use<> {
    let (outgoing, outlet) = outgoing::queue();
    let key = rooms.lock().handle_connected(identity, outgoing.clone());
    let attendance = Attendance { rooms, key };
    let mut session = Session {
        socket,
        outlet,
        outgoing,
        attendance,
        metrics,
        pacer: Pacer::default(),
        heard_at: Instant::now(),
        is_answer_due: false,
        bad_frames: 0,
        _place: place,
    };
    async move {
        let end = session.run(Instant::now() + expires_in).await;
        session.end(end).await;
    }
}

struct Session {
    socket: WebSocket,
    outlet: Outlet,
    outgoing: Outgoing,
    attendance: Attendance,
    metrics: Metrics,
    pacer: Pacer,
    heard_at: Instant,
    /// A request is under way; the next is not read before its answer is out.
    is_answer_due: bool,
    bad_frames: u32,
    /// Among the sessions that there may be.
    _place: OwnedSemaphorePermit,
}

impl Session {
    async fn run(&mut self, expires_at: Instant) -> End {
        let mut ping_at = Instant::now() + HEARTBEAT;
        loop {
            let silent_at = self.heard_at + SILENCE_MAX;
            let due_at = ping_at.min(silent_at).min(expires_at);
            tokio::select! {
                // Requests first: only one can be under way, while pushes may come without an end.
                biased;
                frame = self.socket.recv(), if !self.is_answer_due => {
                    let handled = match frame {
                        Some(Ok(message)) => self.on_message(message),
                        Some(Err(error)) => Err(end_of(error)),
                        None => Err(End::Gone),
                    };
                    if let Err(end) = handled {
                        return end;
                    }
                    // The runtime counts reads, not what they cost: without this, whoever sends large frames without a
                    // pause is served a hundred of them, a second of parsing, before anybody else.
                    yield_now().await;
                }
                next = self.outlet.next() => {
                    let written = match next {
                        Ok(item) => self.write(item).await,
                        Err(reason) => Err(End::Close(reason)),
                    };
                    if let Err(end) = written {
                        return end;
                    }
                }
                () = sleep_until(due_at.into()) => {
                    let now = Instant::now();
                    if now >= expires_at {
                        return End::Close(CloseReason::TokenExpired);
                    }
                    if now >= silent_at {
                        return End::Close(CloseReason::HeartbeatMissed);
                    }
                    ping_at = now + HEARTBEAT;
                    if let Err(end) = self.send(vec![Message::Ping(axum::body::Bytes::new())]).await {
                        return end;
                    }
                }
            }
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), End> {
        let now = Instant::now();
        self.heard_at = now;
        let len = match &message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
            Message::Close(_) => 0,
        };
        let pace = self.pacer.handle_frame(len, now);
        if pace == Pace::Enough {
            return Err(End::Close(CloseReason::RateLimit));
        }
        let text = match message {
            Message::Text(text) => text,
            // Pings are answered by the library, and a flood of them ends like any other.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Gone),
            Message::Binary(_) => {
                return self.on_bad_frame(&Refusal::new(ErrorCode::BadJson, "Frames are text, not binary."));
            }
        };
        if let Pace::TooFast { retry_after_ms } = pace {
            return self.on_frame_too_many(&text, retry_after_ms);
        }
        let envelope = match Envelope::read(&text) {
            Ok(envelope) => envelope,
            Err(refusal) => return self.on_bad_frame(&refusal),
        };
        self.bad_frames = 0;
        self.is_answer_due = true;
        self.attendance.rooms.lock().handle_request(self.attendance.key, envelope, now);
        // What a request asks of a shard has a deadline.
        self.attendance.rooms.stirred.notify_one();
        Ok(())
    }

    /// Refuses a frame with no more work than the answer needs: whoever sends too many is not to be served with more.
    fn on_frame_too_many(&mut self, text: &str, retry_after_ms: u64) -> Result<(), End> {
        let label = match Label::read(text) {
            Ok(label) => label,
            Err(refusal) => return self.on_bad_frame(&refusal),
        };
        self.bad_frames = 0;
        self.is_answer_due = true;
        let mut refusal = Refusal::new(ErrorCode::RateLimited, "More than 50 requests a second, or 200 at once.");
        refusal.retry_after_ms = Some(retry_after_ms);
        self.refuse(&refusal, &label);
        Ok(())
    }

    fn on_bad_frame(&mut self, refusal: &Refusal) -> Result<(), End> {
        self.bad_frames += 1;
        if self.bad_frames >= BAD_FRAMES_MAX {
            return Err(End::Close(CloseReason::NoJson));
        }
        self.is_answer_due = true;
        self.refuse(refusal, &Label::default());
        Ok(())
    }

    fn refuse(&self, refusal: &Refusal, label: &Label) {
        self.metrics.count_refusal(refusal.code);
        self.outgoing.push(Item::Answer(refusal.to_frame(label.name.as_deref(), label.key.as_ref())));
    }

    /// Writes a message and those that wait behind it, in as few system calls as they fit.
    async fn write(&mut self, first: Item) -> Result<(), End> {
        let mut messages = Vec::new();
        let mut next = Some(first);
        while let Some(item) = next {
            let frame = match item {
                Item::Answer(frame) => {
                    self.is_answer_due = false;
                    frame
                }
                Item::Push(frame) => frame,
            };
            messages.push(Message::Text(frame));
            next = if messages.len() < WRITES_AT_ONCE { self.outlet.try_next() } else { None };
        }
        self.send(messages).await
    }

    async fn send(&mut self, messages: Vec<Message>) -> Result<(), End> {
        let (socket, outlet) = (&mut self.socket, &self.outlet);
        let write = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        tokio::select! {
            biased;
            written = write => written.map_err(|_| End::Gone),
            reason = outlet.closed() => Err(End::Close(reason)),
            () = sleep(WRITE_TIMEOUT) => Err(End::Close(CloseReason::SlowReader)),
        }
    }

    async fn end(mut self, end: End) {
        // The rooms forget it first: nobody has to wait for a slow farewell.
        drop(self.attendance);
        let farewell = async {
            if let &End::Close(reason) = &end {
                self.metrics.count_close(reason);
                let frame = CloseFrame { code: reason.code(), reason: Utf8Bytes::from(reason.text()) };
                // What waits goes first where the reader keeps up at all.
                while let Some(Item::Answer(frame) | Item::Push(frame)) =
                    self.outlet.try_next().filter(|_| reason != CloseReason::SlowReader)
                {
                    self.socket.feed(Message::Text(frame)).await?;
                }
                self.socket.send(Message::Close(Some(frame))).await?;
            }
            // Reading on sends the answer to a client's own close frame, and sees the client's answer to ours. A frame that
            // was cut off midway leaves the stream unreadable: then the client gets the time to read our close frame.
            while let Some(message) = self.socket.recv().await {
                match (message, &end) {
                    (Ok(_), _) => {}
                    (Err(_), End::Close(_)) => pending().await,
                    (Err(_), End::Gone) => break,
                }
            }
            Ok::<(), axum::Error>(())
        };
        // Whoever does not take part in the farewell does without.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

/// What an error of the socket means.
fn end_of(error: axum::Error) -> End {
    use tungstenite::Error as Fault;
    match error.into_inner().downcast::<Fault>().map(|fault| *fault) {
        Ok(Fault::Capacity(_)) => End::Close(CloseReason::FrameTooLarge),
        Ok(Fault::Utf8(_)) => End::Close(CloseReason::BadText),
        Ok(Fault::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => End::Gone,
        Ok(Fault::Protocol(_)) => End::Close(CloseReason::BadFraming),
        _ => End::Gone,
    }
}

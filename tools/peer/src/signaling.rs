//! The signaling client: requests with answers, and pushes in the order of their arrival.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::PeerError;
use crate::dtls::install_crypto_provider;

/// How long an answer or a push is waited for: far over any load that a test makes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What a connection reads at once. The library's own 128 KiB are too much for participants by the thousand.
const READ_BUFFER_LEN: usize = 4096;
/// Pushes that wait to be looked at. The oldest go first; a test that does not look does not care.
const PUSHES_MAX: usize = 4096;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection to the service. Dropping it ends the TCP connection without a Close frame.
pub struct Signaling {
    writer: tokio::sync::Mutex<SplitSink<Socket, Message>>,
    inbox: Arc<Inbox>,
    next_id: AtomicU64,
    reader: AbortHandle,
}

/// What the reader has taken from the socket.
#[derive(Default)]
struct Inbox {
    state: Mutex<InboxState>,
    changed: Notify,
}

#[derive(Default)]
struct InboxState {
    /// Who waits for an answer, in the order of the requests.
    answers: VecDeque<Waiting>,
    /// The service has answered with an id, as the protocol has it; what has none is a push then.
    is_echoing: bool,
    pushes: VecDeque<Value>,
    closed: Option<(Option<u16>, String)>,
}

/// A request whose answer has not come.
struct Waiting {
    id: u64,
    kind: String,
    answer: oneshot::Sender<Value>,
}

impl Signaling {
    /// Connects to `url` (`ws://…/signaling` or `wss://…`) with `token` in the `Authorization` header.
    pub async fn connect(url: &str, token: &str) -> Result<Self, PeerError> {
        install_crypto_provider();
        let broken = |error: &dyn std::fmt::Display| PeerError::WebSocket(error.to_string());
        let mut request = url.into_client_request().map_err(|error| broken(&error))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| broken(&error))?;
        request.headers_mut().insert("Authorization", bearer);
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_LEN);
        let connecting = timeout(ANSWER_TIMEOUT, connect_async_with_config(request, Some(config), true)).await;
        let (socket, _) =
            connecting.map_err(|_| PeerError::TimedOut("the WebSocket".into()))?.map_err(|error| match error {
                WebSocketError::Http(response) => PeerError::Refused { status: response.status().as_u16() },
                error => broken(&error),
            })?;
        let (writer, reader) = socket.split();
        let inbox = Arc::new(Inbox::default());
        let reader = tokio::spawn(run_reader(reader, Arc::clone(&inbox))).abort_handle();
        Ok(Self { writer: tokio::sync::Mutex::new(writer), inbox, next_id: AtomicU64::new(1), reader })
    }

    /// Sends the request `kind` with `fields` and waits for its answer.
    pub async fn request(&self, kind: &str, fields: Value) -> Result<Value, PeerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut message = fields;
        message["type"] = json!(kind);
        message["id"] = json!(id);
        let (answer_tx, answer) = oneshot::channel();
        self.inbox.lock().answers.push_back(Waiting { id, kind: kind.to_owned(), answer: answer_tx });
        self.send_text(&message.to_string()).await?;
        match timeout(ANSWER_TIMEOUT, answer).await {
            Err(_) => {
                self.inbox.lock().answers.retain(|waiting| waiting.id != id);
                Err(PeerError::TimedOut(format!("the answer to {kind}")))
            }
            Ok(Err(_)) => Err(self.inbox.lock().closed_error()),
            Ok(Ok(answer)) if answer["type"] == "error" => Err(PeerError::Answer {
                request: kind.to_owned(),
                code: answer["code"].as_str().unwrap_or_default().to_owned(),
                message: answer["message"].as_str().unwrap_or_default().to_owned(),
            }),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// Sends a text frame as it is.
    pub async fn send_text(&self, text: &str) -> Result<(), PeerError> {
        let sent = self.writer.lock().await.send(Message::text(text)).await;
        sent.map_err(|error| match &self.inbox.lock().closed {
            Some((code, reason)) => PeerError::Closed { code: *code, reason: reason.clone() },
            None => PeerError::WebSocket(error.to_string()),
        })
    }

    /// Takes the first push of type `kind` that `is_wanted`, waiting for it if need be. Others stay.
    pub async fn push(&self, kind: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<Value, PeerError> {
        let is_wanted = |push: &Value| push["type"] == kind && is_wanted(push);
        let search = self.inbox.wait_for(|state| state.take_push(is_wanted));
        timeout(ANSWER_TIMEOUT, search).await.unwrap_or_else(|_| Err(PeerError::TimedOut(format!("the push {kind}"))))
    }

    /// Takes the next push of any type, waiting as long as it takes; the error tells how the connection ended.
    pub async fn next_push(&self) -> Result<Value, PeerError> {
        self.inbox.wait_for(|state| state.take_push(|_| true)).await
    }

    /// Waits until the service ends the connection, and tells the close code.
    pub async fn closed(&self) -> Result<Option<u16>, PeerError> {
        match self.push("", |_| false).await {
            Err(PeerError::Closed { code, .. }) => Ok(code),
            Err(error) => Err(error),
            Ok(_) => Err(PeerError::Protocol("a push without a type".into())),
        }
    }

    /// Ends the connection with a Close frame of `code`.
    pub async fn close(self, code: u16) -> Result<(), PeerError> {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        let sent = self.writer.lock().await.send(Message::Close(Some(frame))).await;
        sent.map_err(|error| PeerError::WebSocket(error.to_string()))
    }
}

impl Drop for Signaling {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Inbox {
    /// Looks with `poll` now and after every change, until there is something.
    async fn wait_for<T>(&self, mut poll: impl FnMut(&mut InboxState) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change between the two is missed.
            changed.as_mut().enable();
            if let Some(found) = poll(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InboxState {
    fn handle_message(&mut self, message: Value) {
        if let Some(waiting) = self.take_waiting(&message) {
            // Who no longer waits has timed out.
            let _ = waiting.answer.send(message);
            return;
        }
        if self.pushes.len() == PUSHES_MAX {
            self.pushes.pop_front();
        }
        self.pushes.push_back(message);
    }

    /// Whose answer `message` is. A simpler server than ours may leave ids out; it answers in order all the same, and
    /// an answer's type tells it from a push.
    fn take_waiting(&mut self, message: &Value) -> Option<Waiting> {
        let place = match message["id"].as_u64() {
            Some(id) => {
                let place = self.answers.iter().position(|waiting| waiting.id == id)?;
                self.is_echoing = true;
                place
            }
            None if self.is_echoing => return None,
            None => {
                let oldest = self.answers.front()?;
                let is_answer = match message["type"].as_str()? {
                    "error" => message["request"].as_str().is_none_or(|request| request == oldest.kind),
                    kind => Some(kind) == answer_type(&oldest.kind),
                };
                is_answer.then_some(0)?
            }
        };
        self.answers.remove(place)
    }

    fn take_push(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Option<Result<Value, PeerError>> {
        let place = self.pushes.iter().position(is_wanted);
        match place.and_then(|place| self.pushes.remove(place)) {
            Some(push) => Some(Ok(push)),
            None => self.closed.is_some().then(|| Err(self.closed_error())),
        }
    }

    fn closed_error(&self) -> PeerError {
        let (code, reason) = self.closed.clone().unwrap_or_default();
        PeerError::Closed { code, reason }
    }
}

/// The type of the answer to a request that a call can't do without.
fn answer_type(request: &str) -> Option<&'static str> {
    match request {
        "join" => Some("joined"),
        "createTransport" => Some("transportCreated"),
        "connectTransport" => Some("transportConnected"),
        "produce" => Some("produced"),
        "consume" => Some("consumed"),
        "resumeConsumer" => Some("consumerResumed"),
        _ => None,
    }
}

/// Takes messages until the connection ends; Pings are answered by the library while it reads.
async fn run_reader(mut reader: SplitStream<Socket>, inbox: Arc<Inbox>) {
    let mut closed = (None, String::new());
    while let Some(message) = reader.next().await {
        match message {
            Ok(Message::Text(text)) => {
                if let Ok(message) = serde_json::from_str(text.as_str()) {
                    inbox.lock().handle_message(message);
                    inbox.changed.notify_waiters();
                }
            }
            Ok(Message::Close(frame)) => {
                closed = frame
                    .map_or((None, String::new()), |frame| (Some(frame.code.into()), frame.reason.as_str().to_owned()));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let mut state = inbox.lock();
    state.closed = Some(closed);
    state.answers.clear();
    drop(state);
    inbox.changed.notify_waiters();
}

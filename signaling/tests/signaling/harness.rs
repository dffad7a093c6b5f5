//! Starts the binary, and talks to it as clients do.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const SECRET: &str = "a secret of thirty-two bytes, ok";

/// Anything that waits longer than this has failed; a busy machine needs a fraction of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// All voice rights.
pub(crate) const MEMBER: &str = "3146240";

/// The binary, without what the environment of the test would say to it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voice-service"));
    for name in [
        "PORT",
        "NODE_ENV",
        "PUBLIC_IP",
        "REDIS_URL",
        "JWT_SECRET",
        "JWT_SECRET_FILE",
        "PERMISSIONS",
        "RUST_LOG",
        "SHARDS",
        "MAX_INCOMING_BITRATE",
    ] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(arguments).envs(environment.iter().copied()).output().unwrap()
}

/// A running service; dropping it ends it.
pub(crate) struct Service {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// The first line that it printed.
    pub(crate) greeting: String,
}

impl Service {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let fixed = ["--port", "0", "--http-ip", "127.0.0.1", "--listen-ip", "127.0.0.1"];
        Self::spawn(command(&fixed).args(arguments).env("JWT_SECRET", SECRET).env("SHARDS", "1"))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        forward_lines(child.stdout.take().unwrap(), sender.clone());
        forward_lines(child.stderr.take().unwrap(), sender);
        // From here on the process is ended whatever happens.
        let mut service = Self { child, address: SocketAddr::from(([0; 4], 0)), greeting: String::new() };
        let mut seen = Vec::new();
        loop {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the service does not start: {seen:?}"));
            if let Some((_, rest)) = line.split_once("http://") {
                let end = rest.find(|letter: char| letter == '/' || letter.is_whitespace()).unwrap_or(rest.len());
                service.address = rest[..end].parse().unwrap();
                service.greeting = line;
                return service;
            }
            seen.push(line);
        }
    }

    /// One request over HTTP/1.1 as it stands; the whole answer.
    pub(crate) async fn raw_http(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A service that cuts the connection has said all that it will.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) async fn http(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let host = self.address;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let answer = self.raw_http(request.as_bytes()).await;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, answer)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.http("GET", path, "", "").await
    }

    /// The sum of a metric over the labels that hold `label`.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let rows = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with([' ', '{']) && rest.contains(label)
        });
        rows.filter_map(|line| line.rsplit(' ').next()?.trim().parse::<f64>().ok()).sum()
    }

    /// Waits until a metric has a value.
    pub(crate) async fn metric_becomes(&self, name: &str, label: &str, value: f64) {
        let reached = async {
            while self.metric(name, label).await != value {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{name} does not become {value}"));
    }

    pub(crate) async fn connect(&self, user: &str) -> Client {
        self.connect_with(&token(user)).await.unwrap()
    }

    pub(crate) async fn connect_with(&self, token: &str) -> Result<Client, tungstenite::Error> {
        let mut request = format!("ws://{}/signaling", self.address).into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
        Client::connect(request).await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward_lines(stream: impl Read + Send + 'static, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // Once the test has seen enough, the pipe is only kept from filling up.
            let _ = sender.send(line);
        }
    });
}

/// A client that asks one thing after another.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
}

impl Client {
    pub(crate) async fn connect(request: impl IntoClientRequest + Unpin) -> Result<Self, tungstenite::Error> {
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Self { socket, next_id: 0 })
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    /// The next JSON message; control frames are passed over.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message but {other:?}"),
            }
        }
    }

    /// Hears until a message of this type comes.
    pub(crate) async fn hear_until(&mut self, kind: &str) -> Value {
        loop {
            let message = self.hear().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Asks, and gives the answer with its id; pushes in between are passed over.
    pub(crate) async fn call(&mut self, mut request: Value) -> Value {
        self.next_id += 1;
        request["id"] = json!(self.next_id);
        self.send(request.to_string()).await;
        loop {
            let message = self.hear().await;
            if message["id"] == json!(self.next_id) {
                return message;
            }
        }
    }

    pub(crate) async fn join(&mut self, channel: &str) -> Value {
        self.call(join(channel)).await
    }

    /// Waits for the close frame: its code and its reason.
    pub(crate) async fn closing(&mut self) -> (u16, Value) {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), serde_json::from_str(&frame.reason).unwrap_or_default());
                }
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }
}

pub(crate) fn join(channel: &str) -> Value {
    json!({"type": "join", "channelId": channel, "rtpCapabilities": {"codecs": [], "headerExtensions": []}})
}

pub(crate) fn now_s() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// A token of `user` with all voice rights.
pub(crate) fn token(user: &str) -> String {
    sign(&json!({"userId": user, "exp": now_s() + 3600, "permissions": MEMBER}))
}

pub(crate) fn sign(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

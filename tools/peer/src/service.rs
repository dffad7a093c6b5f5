//! Runs the real service for tests: on free ports, on loopback, with its log kept.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::Metrics;
use crate::token::{Claims, mint};
use crate::{JoinOptions, PeerError};

/// How long the service may take to come up on a busy host.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an answer over HTTP may take; the service never needs a tenth of it.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at something that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// UDP ports given to the service: enough for a slice a shard on any test machine.
const MEDIA_PORTS: u16 = 64;
/// Where the media ports of tests lie: below the kernel's ephemeral range, off the service's own default.
const MEDIA_BASE: std::ops::Range<u16> = 20_000..31_000;
/// Log lines that are kept; the oldest go first.
const LOG_LINES_MAX: usize = 2000;

/// How the service is started.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// The binary.
    pub binary: PathBuf,
    /// The number of shards.
    pub shards: usize,
    /// Further arguments.
    pub arguments: Vec<String>,
}

impl ServiceOptions {
    /// One shard of `binary`.
    pub fn new(binary: impl AsRef<Path>) -> Self {
        Self { binary: binary.as_ref().to_owned(), shards: 1, arguments: Vec::new() }
    }
}

/// A running service; dropping it kills it.
pub struct Service {
    child: Child,
    port: u16,
    media_port: u16,
    secret: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Starts the service and waits until it takes calls.
    pub async fn start(options: &ServiceOptions) -> Result<Self, PeerError> {
        let port = free_tcp_port()?;
        let media = free_media_ports()?;
        let secret = format!("{:032x}", rand::random::<u128>());
        let mut child = Command::new(&options.binary)
            .args(["--port", &port.to_string(), "--http-ip", "127.0.0.1"])
            .args(["--rtc-min-port", &media.to_string(), "--rtc-max-port", &(media + MEDIA_PORTS - 1).to_string()])
            .args(["--listen-ip", "127.0.0.1", "--public-ip", "127.0.0.1", "--permissions", "token"])
            .args(["--shards", &options.shards.to_string()])
            .args(&options.arguments)
            .env("JWT_SECRET", &secret)
            .env_remove("NODE_ENV")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = Arc::new(Mutex::new(Vec::new()));
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            keep_log(out, Arc::clone(&log));
            keep_log(err, Arc::clone(&log));
        }
        let mut service = Self { child, port, media_port: media, secret, log };
        service.wait_until_ready().await?;
        Ok(service)
    }

    async fn wait_until_ready(&mut self) -> Result<(), PeerError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                // The last words may still be on their way through the pipe.
                sleep(POLL_INTERVAL).await;
                return Err(PeerError::Service(format!("it ended with {status}:\n{}", self.log())));
            }
            if matches!(self.http("GET", "/readyz").await, Ok((200, _))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(PeerError::Service(format!("it does not get ready:\n{}", self.log())));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// The signaling address.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/signaling", self.port)
    }

    /// The first of the media ports, that of the first shard.
    pub fn media_port(&self) -> u16 {
        self.media_port
    }

    /// The secret that its tokens are signed with.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A token for `user` with the rights to connect, speak and stream.
    pub fn token(&self, user: &str) -> Result<String, PeerError> {
        mint(&self.secret, &Claims::new(user))
    }

    /// What `user` needs to join `channel`.
    pub fn join_options(&self, user: &str, channel: &str) -> Result<JoinOptions, PeerError> {
        Ok(JoinOptions::new(&self.url(), &self.token(user)?, channel))
    }

    /// Reads the metrics.
    pub async fn metrics(&self) -> Result<Metrics, PeerError> {
        match self.http("GET", "/metrics").await? {
            (200, body) => Ok(Metrics::parse(&body)),
            (status, _) => Err(PeerError::Service(format!("/metrics answers {status}"))),
        }
    }

    /// Reads the metrics until they are `as_wanted`; gives the last reading otherwise.
    pub async fn metrics_until(
        &self,
        within: Duration,
        as_wanted: impl Fn(&Metrics) -> bool,
    ) -> Result<Result<Metrics, Metrics>, PeerError> {
        let deadline = Instant::now() + within;
        loop {
            let metrics = self.metrics().await?;
            if as_wanted(&metrics) {
                return Ok(Ok(metrics));
            }
            if Instant::now() > deadline {
                return Ok(Err(metrics));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// The memory that the service holds, in bytes.
    pub fn resident_bytes(&self) -> Result<u64, PeerError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kibibytes.map(|count| count * 1024).ok_or_else(|| PeerError::Service("/proc tells no memory of it".into()))
    }

    /// The CPU time that the service has taken, all its threads together, in steps of 10 ms.
    pub fn cpu_time(&self) -> Result<Duration, PeerError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the command in parentheses; user and system time are the 14th and 15th, in units of USER_HZ,
        // which is 100 wherever Linux tells it to programs.
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ').collect::<Vec<_>>());
        let ticks = |at: usize| fields.as_ref()?.get(at)?.parse::<u64>().ok();
        let total = ticks(11).zip(ticks(12)).map(|(user, system)| Duration::from_millis(10 * (user + system)));
        total.ok_or_else(|| PeerError::Service("/proc tells no CPU time of it".into()))
    }

    /// The service's process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What the service has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// One request over HTTP/1.0, which needs no library: its answer ends with the connection.
    async fn http(&self, method: &str, path: &str) -> Result<(u16, String), PeerError> {
        let exchange = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            stream.write_all(format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, PeerError>(answer)
        };
        let answer = timeout(HTTP_TIMEOUT, exchange).await.map_err(|_| PeerError::TimedOut(path.into()))??;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| PeerError::Protocol(format!("{path} answers no HTTP")))?;
        Ok((status, body.to_owned()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps a stream's lines on a thread of its own, so that a busy test never holds the service up by a full pipe.
fn keep_log(stream: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() == LOG_LINES_MAX {
                log.remove(0);
            }
            log.push(line);
        }
    });
}

/// A port that was free a moment ago.
fn free_tcp_port() -> Result<u16, PeerError> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The first of [`MEDIA_PORTS`] UDP ports that were all free a moment ago.
fn free_media_ports() -> Result<u16, PeerError> {
    for _ in 0..100 {
        let base = rand::random_range(MEDIA_BASE);
        let is_free = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (base..base + MEDIA_PORTS).all(is_free) {
            return Ok(base);
        }
    }
    Err(PeerError::Service("no run of free UDP ports was found".into()))
}

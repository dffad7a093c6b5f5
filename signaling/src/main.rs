//! The service: reads what the operator wants, starts the shards, and serves until a signal ends it.
//!
//! The one place that knows both the shards and their clients.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use engine::runtime::host::{CpuSet, Host, HostPlan, PlacementRequest};
use engine::runtime::{Coalescing, ShardHandle, Shards};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use shard_protocol::{Command, Event};
use signaling::addresses::{self, AddressRequest};
use signaling::auth::Verifier;
use signaling::config::{Cli, CliCommand, Config, Secret, TokenArgs, TokenConfig};
use signaling::http::{self, SOCKETS_MAX, Service};
use signaling::metrics::Metrics;
use signaling::room::{Rooms, RoomsConfig};
use signaling::session::{HEARTBEAT, SharedRooms};
use signaling::shards::{SendRefused, ShardLost, ShardPort};
use signaling::token;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// How long clients may take for their farewell once the service ends.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// Connections that the kernel keeps until they are accepted: a thousand clients may come back in the same second.
const BACKLOG: u32 = 1024;

/// Descriptors for all that is no connection: rings and sockets of shards, files, pipes.
const DESCRIPTORS_RESERVE: usize = 1024;

/// Whatever keeps the service from serving; its text says how to mend it.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter =
        tracing_subscriber::EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal()).init();
    let outcome = match &cli.command {
        Some(CliCommand::Token(args)) => TokenConfig::resolve(cli.serve.clone(), environment)
            .map_err(Failure::from)
            .and_then(|config| print_token(args, &config)),
        None => Config::resolve(cli.serve, environment).map_err(Failure::from).and_then(|config| run(&config)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where even that cannot be written, the exit code says it.
            let _ = writeln!(stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> Result<(), Failure> {
    let plan = plan(config)?;
    if config.is_dry_run {
        plan.check_ports()?;
        return Ok(print(&plan)?);
    }
    let Some(secret) = &config.jwt_secret else { return Ok(()) };
    warn_if_weak(secret);
    if !config.unused.is_empty() {
        tracing::warn!("not used by this release: {}", config.unused.join(", "));
    }
    raise_descriptor_limit(config.connections_max);
    let waker = Arc::new(Notify::new());
    let shard_waker = Arc::clone(&waker);
    let coalescing = config.coalesce.map_or(Coalescing::Adaptive, Coalescing::Fixed);
    let shards = engine::runtime::start(&plan, coalescing, Arc::new(move |_| shard_waker.notify_one()))?;
    if !plan.signal_cpus.pin_current_thread() {
        tracing::warn!(cpus = %plan.signal_cpus, "the signaling thread could not be pinned");
    }
    let Shards { handles, fingerprints, threads } = shards;
    let metrics = Metrics::default();
    let announced = announced_ips(config)?;
    let rooms = RoomsConfig {
        addresses: handles.iter().map(|handle| addresses::of_shard(&announced, handle.port())).collect(),
        ports: handles.into_iter().map(|handle| Box::new(Port(handle)) as _).collect(),
        fingerprints,
        heartbeat_ms: HEARTBEAT.as_millis() as u64,
        incoming_bitrate_max_bps: config.incoming_bitrate_max_bps,
        now: Instant::now(),
    };
    let rooms = SharedRooms::new(Rooms::new(rooms, metrics.clone()), waker);
    let verifier = Verifier::new(secret.as_bytes(), config.permissions);
    let dev_secret = config.is_dev.then(|| secret.clone());
    let service = Service::new(rooms.clone(), verifier, metrics, config.connections_max, dev_secret);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config, Arc::new(service), rooms));
    // With the last task goes the last handle of the shards, and that ends them.
    drop(runtime);
    threads.join();
    served
}

/// Prints the token alone on standard output, for programs; on standard error the link with it, for people.
fn print_token(args: &TokenArgs, config: &TokenConfig) -> Result<(), Failure> {
    let token = token::mint(args, &config.secret)?;
    warn_if_weak(&config.secret);
    print(&token)?;
    writeln!(stderr(), "{}", token::describe_link(config, args, &token))?;
    Ok(())
}

fn warn_if_weak(secret: &Secret) {
    if secret.is_weak() {
        tracing::warn!("the secret is shorter than 32 bytes: make a longer one with `openssl rand -hex 32`");
    }
}

async fn serve(config: &Config, service: Arc<Service>, rooms: SharedRooms) -> Result<(), Failure> {
    let listener = listen(config.http_ip, config.port)?;
    let address = listener.local_addr()?;
    let routes = http::routes(Arc::clone(&service), config.metrics_listen.is_none());
    let metrics_listener =
        config.metrics_listen.map(|address| listen(Some(address.ip()), address.port())).transpose()?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move { rooms.run().await });
    if let Some(listener) = metrics_listener {
        tracing::info!(address = %listener.local_addr()?, "serving metrics");
        let routes = http::metrics_routes(Arc::clone(&service));
        tokio::spawn(http::accept_all(listener, routes, service.metrics().clone()));
    }
    let accepting = tokio::spawn(http::accept_all(listener, routes, service.metrics().clone()));
    match config.is_dev {
        true => print(format!("Open http://{address}/#room=lobby in a browser, under a name for each person."))?,
        false => print(format!("Listening on http://{address}"))?,
    }
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("interrupted: the service ends"),
        _ = terminate.recv() => tracing::info!("terminated: the service ends"),
    }
    accepting.abort();
    service.end(END_PATIENCE).await;
    Ok(())
}

fn plan(config: &Config) -> Result<HostPlan, Failure> {
    let parse = |flag: &str, cpus: &Option<String>| match cpus {
        Some(cpus) => cpus.parse::<CpuSet>().map(Some).map_err(|error| format!("{flag} {cpus}: {error}")),
        None => Ok(None),
    };
    let request = PlacementRequest {
        shards: config.shards,
        cpuset: parse("--cpuset", &config.cpuset)?,
        signal_cpuset: parse("--signal-cpuset", &config.signal_cpuset)?,
        ports: config.rtc_ports.clone(),
        listen_ip: config.listen_ip,
    };
    Ok(HostPlan::new(&request, &Host::look()?)?)
}

fn announced_ips(config: &Config) -> Result<Vec<IpAddr>, Failure> {
    let request =
        AddressRequest { public_ips: config.public_ips.clone(), listen_ip: config.listen_ip, is_dev: config.is_dev };
    let announced = addresses::announced(&request, &addresses::of_host()?);
    if announced.is_empty() {
        return Err("no address to tell clients: name one with --public-ip".into());
    }
    tracing::info!(addresses = ?announced, "clients are told these addresses for media");
    Ok(announced)
}

/// Listens on one address, or on all of both families where the host has IPv6.
fn listen(ip: Option<IpAddr>, port: u16) -> Result<TcpListener, Failure> {
    let bind = |ip: IpAddr| -> std::io::Result<TcpListener> {
        let address = SocketAddr::new(ip, port);
        let socket = match ip {
            IpAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
            IpAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
        };
        // A service that is started again finds its port still held by connections that end.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let bound = match ip {
        Some(ip) => bind(ip),
        None => bind(Ipv6Addr::UNSPECIFIED.into()).or_else(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => Err(error),
            _ => bind(Ipv4Addr::UNSPECIFIED.into()),
        }),
    };
    bound.map_err(|error| format!("listening on port {port}: {error}; choose another with --port").into())
}

/// Asks for as many descriptors as the system lets this process have: many systems start it with 1024, and every connection
/// takes one.
fn raise_descriptor_limit(connections_max: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(hard)
    });
    let wanted = (connections_max + SOCKETS_MAX + DESCRIPTORS_RESERVE) as u64;
    match raised {
        Ok(limit) if limit >= wanted => {}
        Ok(limit) => tracing::warn!(
            "{limit} descriptors for up to {connections_max} connections: raise `ulimit -Hn` (LimitNOFILE= in systemd) to \
             {wanted}, or lower --max-connections"
        ),
        Err(error) => tracing::warn!("the limit of descriptors stays as it is: {error}"),
    }
}

/// The engine's end of a shard's queues, as signaling knows it.
struct Port(ShardHandle);

impl ShardPort for Port {
    fn try_send(&mut self, command: Command) -> Result<(), SendRefused> {
        self.0.try_send(command).map_err(|refused| match refused {
            engine::runtime::SendRefused::Full(command) => SendRefused::Full(command),
            engine::runtime::SendRefused::Lost(command) => SendRefused::Lost(command),
        })
    }

    fn try_recv(&mut self) -> Result<Option<Event>, ShardLost> {
        self.0.try_recv().map_err(|engine::runtime::ShardLost| ShardLost)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn print(line: impl Display) -> std::io::Result<()> {
    writeln!(stdout(), "{line}")
}

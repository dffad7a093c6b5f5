//! What the operator wants: flags over environment over file over defaults, checked before anything starts.

mod cli;
mod file;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::cli::{Cli, CliCommand, ServeArgs, TokenArgs};
use self::file::ConfigFile;
use crate::auth::SECRET_LEN_ADVISED;
use crate::negotiation::AUDIO_BITRATE_MAX_BPS;
use crate::permissions::PermissionSource;

/// The port of HTTP and WebSocket.
pub const PORT_DEFAULT: u16 = 3003;

/// The UDP ports of media.
pub const RTC_PORTS_DEFAULT: RangeInclusive<u16> = 40_000..=49_999;

/// Microseconds that packets may gather at most: the frame of a voice. With more, a listener would get two frames of each
/// voice at once.
pub const COALESCE_MAX_US: u32 = 20_000;

/// WebSockets at one time: four times the thousand that are promised, at about 40 kB each with all that a participant is.
pub const CONNECTIONS_MAX_DEFAULT: usize = 4096;

/// The most WebSockets that can be asked for: more than a process has descriptors for.
const CONNECTIONS_MAX_MAX: usize = 1 << 20;

/// The least cap of what a participant may send: with less not even a microphone is heard. Kilobits given for bits fall below.
const INCOMING_BITRATE_MIN_BPS: u32 = AUDIO_BITRATE_MAX_BPS;

/// A secret. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Makes one of 256 random bits.
    pub fn random() -> Self {
        Self(rand::random::<[u8; 32]>().to_vec())
    }

    /// The secret itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is shorter than HS256 wants.
    pub fn is_weak(&self) -> bool {
        self.0.len() < SECRET_LEN_ADVISED
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP and WebSocket are served; no address for all.
    pub http_ip: Option<IpAddr>,
    /// Their port; 0 for any.
    pub port: u16,
    /// Where `/metrics` is served, if not with the rest.
    pub metrics_listen: Option<SocketAddr>,
    /// WebSockets at one time.
    pub connections_max: usize,
    /// The address of media; `None` for all.
    pub listen_ip: Option<IpAddr>,
    /// Addresses that clients are told; those of the host where there is none.
    pub public_ips: Vec<IpAddr>,
    /// How long a shard lets packets gather; its own choice without.
    pub coalesce: Option<Duration>,
    /// The UDP ports of media.
    pub rtc_ports: RangeInclusive<u16>,
    /// The most that one transport's peer may send in bit/s; `None` for what its streams may together.
    pub incoming_bitrate_max_bps: Option<u32>,
    /// How many shards.
    pub shards: Option<usize>,
    /// Their CPUs.
    pub cpuset: Option<String>,
    /// The CPUs of the rest.
    pub signal_cpuset: Option<String>,
    /// Only show the plan.
    pub is_dry_run: bool,
    /// Where permissions come from.
    pub permissions: PermissionSource,
    /// Development.
    pub is_dev: bool,
    /// What tokens are signed with; `None` where only a plan is to be shown.
    pub jwt_secret: Option<Secret>,
    /// What was set but does nothing yet.
    pub unused: Vec<&'static str>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says it in its message")]
pub enum ConfigError {
    #[error("reading {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {cause}", path.display())]
    BadFile { path: PathBuf, cause: String },
    #[error(
        "no secret to check tokens with: set JWT_SECRET (`export JWT_SECRET=$(openssl rand -hex 32)`), \
         name a file with --jwt-secret-file, or use --dev to try the service out"
    )]
    NoSecret,
    #[error(
        "no secret to sign the token with: set JWT_SECRET to the one that the service checks with, or name its file with \
         --jwt-secret-file; a service that runs with --dev needs no such token, its page asks for one"
    )]
    NoSigningSecret,
    #[error("{} is empty: write the secret into it (`openssl rand -hex 32 > {0}`)", path.display())]
    EmptySecret { path: PathBuf },
    #[error("--dev is refused where NODE_ENV is `production`: unset one of them")]
    DevInProduction,
    #[error("--dev serves HTTP on loopback alone: leave --http-ip {ip} out, or leave --dev out")]
    DevBeyondLoopback { ip: IpAddr },
    #[error("--permissions {source_name} is not available yet: use `token`, or `open` for development")]
    NoSuchSource { source_name: &'static str },
    #[error("--rtc-min-port {min} and --rtc-max-port {max} leave no port: the first must not be 0 or above the second")]
    NoPorts { min: u16, max: u16 },
    #[error("--max-connections {count} is not between 1 and {CONNECTIONS_MAX_MAX}")]
    BadConnections { count: usize },
    #[error(
        "--max-incoming-bitrate {bitrate_bps} is below {INCOMING_BITRATE_MIN_BPS} bit/s, which one microphone needs"
    )]
    BadIncomingBitrate { bitrate_bps: u32 },
    #[error(
        "--coalesce-us {coalesce_us} is above {COALESCE_MAX_US}: packets that wait longer are heard as late; give less, or leave \
         it out of flags, environment and file for the shard's own choice"
    )]
    BadCoalesce { coalesce_us: u32 },
    #[error("--public-ip {ip} is no address that a client can send to")]
    BadPublicIp { ip: IpAddr },
    #[error(
        "--redis-url must not hold a password: set REDIS_URL in the environment, or name a file with --redis-url-file"
    )]
    PasswordInFlag,
}

impl Config {
    /// Brings flags, environment, file and defaults together. `environment` gives the variables that are no flags.
    ///
    /// # Errors
    /// Whatever cannot be served; the message says how to mend it.
    pub fn resolve(args: ServeArgs, environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let file = args.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        let unused = unused(&args, &file, &environment);
        check_redis_url(&args, &file, &environment)?;
        let is_dev = args.dev || file.dev.unwrap_or(false);
        if is_dev && args.node_env.as_deref().or(file.node_env.as_deref()) == Some("production") {
            return Err(ConfigError::DevInProduction);
        }
        let permissions = args.permissions.or(file.permissions).unwrap_or(match is_dev {
            true => PermissionSource::Open,
            false => PermissionSource::Token,
        });
        match permissions {
            PermissionSource::Token | PermissionSource::Open => {}
            PermissionSource::Redis => return Err(ConfigError::NoSuchSource { source_name: "redis" }),
            PermissionSource::Http => return Err(ConfigError::NoSuchSource { source_name: "http" }),
        }
        let rtc_min_port = args.rtc_min_port.or(file.rtc_min_port).unwrap_or(*RTC_PORTS_DEFAULT.start());
        let rtc_max_port = args.rtc_max_port.or(file.rtc_max_port).unwrap_or(*RTC_PORTS_DEFAULT.end());
        if rtc_min_port == 0 || rtc_min_port > rtc_max_port {
            return Err(ConfigError::NoPorts { min: rtc_min_port, max: rtc_max_port });
        }
        let connections_max = args.max_connections.or(file.max_connections).unwrap_or(CONNECTIONS_MAX_DEFAULT);
        if !(1..=CONNECTIONS_MAX_MAX).contains(&connections_max) {
            return Err(ConfigError::BadConnections { count: connections_max });
        }
        let incoming_bitrate_max_bps = args.max_incoming_bitrate.or(file.max_incoming_bitrate);
        if let Some(bitrate_bps) = incoming_bitrate_max_bps.filter(|&bps| bps < INCOMING_BITRATE_MIN_BPS) {
            return Err(ConfigError::BadIncomingBitrate { bitrate_bps });
        }
        let coalesce_us = args.coalesce_us.or(file.coalesce_us);
        if let Some(coalesce_us) = coalesce_us.filter(|&coalesce_us| coalesce_us > COALESCE_MAX_US) {
            return Err(ConfigError::BadCoalesce { coalesce_us });
        }
        let public_ips = args.public_ip.or(file.public_ip.map(file::OneOrMany::into_vec)).unwrap_or_default();
        if let Some(&ip) = public_ips.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(ConfigError::BadPublicIp { ip });
        }
        let jwt_secret = match read_secret(args.jwt_secret_file, file.jwt_secret_file, &environment) {
            Err(ConfigError::NoSecret) if is_dev => Some(Secret::random()),
            Err(ConfigError::NoSecret) if args.dry_run => None,
            secret => Some(secret?),
        };
        Ok(Self {
            http_ip: choose_http_ip(args.http_ip.or(file.http_ip), is_dev)?,
            port: args.port.or(file.port).unwrap_or(PORT_DEFAULT),
            metrics_listen: args.metrics_listen.or(file.metrics_listen),
            connections_max,
            listen_ip: args.listen_ip.or(file.listen_ip),
            public_ips,
            rtc_ports: rtc_min_port..=rtc_max_port,
            incoming_bitrate_max_bps,
            coalesce: coalesce_us.map(|us| Duration::from_micros(us.into())),
            shards: args.shards.or(file.shards),
            cpuset: args.cpuset.or(file.cpuset),
            signal_cpuset: args.signal_cpuset.or(file.signal_cpuset),
            is_dry_run: args.dry_run,
            permissions,
            is_dev,
            jwt_secret,
            unused,
        })
    }
}

/// What a token is made with, and where the service is that takes it.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// What tokens are signed with.
    pub secret: Secret,
    /// The address that clients reach the service by, as far as it is known.
    pub page_ip: Option<IpAddr>,
    /// Its port; 0 where only the running service knows it.
    pub port: u16,
}

impl TokenConfig {
    /// Brings together what a token and its link need; of the same sources as [`Config::resolve`].
    ///
    /// # Errors
    /// There is no secret, or it cannot be read.
    pub fn resolve(args: ServeArgs, environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let file = args.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        let secret = match read_secret(args.jwt_secret_file, file.jwt_secret_file, &environment) {
            Err(ConfigError::NoSecret) => Err(ConfigError::NoSigningSecret),
            secret => secret,
        }?;
        let public_ips = args.public_ip.or(file.public_ip.map(file::OneOrMany::into_vec)).unwrap_or_default();
        let http_ip = args.http_ip.or(file.http_ip).filter(|ip| !ip.is_unspecified());
        let port = args.port.or(file.port).unwrap_or(PORT_DEFAULT);
        // Pages come from where HTTP is served; an address of its own there is the only one that answers.
        Ok(Self { secret, page_ip: http_ip.or(public_ips.first().copied()), port })
    }
}

/// A file named by flag or environment, else the variable itself, else a file named by the configuration.
fn read_secret(
    named: Option<PathBuf>,
    configured: Option<PathBuf>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Secret, ConfigError> {
    if let Some(path) = named {
        return read_secret_file(&path);
    }
    if let Some(secret) = environment("JWT_SECRET").filter(|secret| !secret.is_empty()) {
        return Ok(Secret(secret.into_bytes()));
    }
    configured.map_or(Err(ConfigError::NoSecret), |path| read_secret_file(&path))
}

fn read_secret_file(path: &Path) -> Result<Secret, ConfigError> {
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    // Editors and `echo` end a file with a line break that is not meant.
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.is_empty() {
        return Err(ConfigError::EmptySecret { path: path.to_owned() });
    }
    Ok(Secret(secret.to_vec()))
}

fn choose_http_ip(asked: Option<IpAddr>, is_dev: bool) -> Result<Option<IpAddr>, ConfigError> {
    match asked {
        Some(ip) if is_dev && !ip.is_loopback() => Err(ConfigError::DevBeyondLoopback { ip }),
        None if is_dev => Ok(Some(Ipv4Addr::LOCALHOST.into())),
        asked => Ok(asked),
    }
}

/// A flag shows in the list of processes, a file may be read by many: a password belongs in neither.
fn check_redis_url(
    args: &ServeArgs,
    file: &ConfigFile,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    let has_password = |url: &String| {
        let authority = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        authority.split('/').next().is_some_and(|authority| authority.contains('@'))
    };
    let from_flag = args.redis_url.as_ref().filter(|url| environment("REDIS_URL").as_ref() != Some(*url));
    match from_flag.into_iter().chain(&file.redis_url).any(has_password) {
        true => Err(ConfigError::PasswordInFlag),
        false => Ok(()),
    }
}

fn unused(args: &ServeArgs, file: &ConfigFile, environment: impl Fn(&str) -> Option<String>) -> Vec<&'static str> {
    let redis = args.redis_url.is_some() || args.redis_url_file.is_some();
    let is_set = |name: &str| environment(name).is_some();
    let turn_credential = args.turn_credential_file.is_some() || is_set("TURN_CREDENTIAL");
    let given = [
        ("REDIS_URL", redis || file.redis_url.is_some() || file.redis_url_file.is_some()),
        ("TURN_USERNAME", args.turn_username.is_some() || file.turn_username.is_some()),
        ("TURN_CREDENTIAL", turn_credential || file.turn_credential_file.is_some()),
        ("TURN_PORT", args.turn_port.is_some() || file.turn_port.is_some()),
        // No flags, but what whoever has run another service with TURN is likely to set.
        ("TURN_URL", is_set("TURN_URL")),
        ("TURN_URLS", is_set("TURN_URLS")),
    ];
    given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests;

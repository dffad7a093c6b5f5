//! The command line. Each flag has an environment variable of its own; defaults stand in [`super::Config`].

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::permissions::PermissionSource;

const EXAMPLES: &str = "\
Examples:
  voice-service --dev
      For trying it out: makes a secret, allows everything, serves the web client on 127.0.0.1 and prints the link.
  JWT_SECRET=... voice-service --public-ip 203.0.113.7
      As clients on the internet reach it.
  voice-service --shards 4 --cpuset 2-5 --signal-cpuset 0-1 --dry-run
      Shows which shard would run where, and ends.
  JWT_SECRET=... voice-service token --user alice
      Prints a token for alice.

A flag counts more than its environment variable, that more than the configuration file, that more than the default.
Secrets are no flags: JWT_SECRET, TURN_CREDENTIAL, or a file that --jwt-secret-file, --turn-credential-file names.";

/// A voice SFU: browsers hear each other through pinned media shards.
#[derive(Clone, Debug, Parser)]
#[command(name = "voice-service", version, after_help = EXAMPLES)]
pub struct Cli {
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
}

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum CliCommand {
    /// Print a token for a user, signed with the service's secret.
    Token(TokenArgs),
}

/// Flags of `token`.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// The user that the token names.
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// Discord's permission bits as a decimal number [default: connect, speak and stream].
    #[arg(long, value_name = "BITS")]
    pub permissions: Option<String>,
    /// The channels that the permissions hold in, with commas between [default: all].
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',')]
    pub channels: Option<Vec<String>>,
    /// How long it lives: a number with s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub expires_in: String,
}

/// Flags of serving.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// A configuration file in TOML, with keys named like the flags.
    #[arg(long, value_name = "FILE", env = "VOICE_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// A file that holds the secret which tokens are signed with; JWT_SECRET holds the secret itself.
    #[arg(long, value_name = "FILE", env = "JWT_SECRET_FILE", global = true)]
    pub jwt_secret_file: Option<PathBuf>,

    /// Port of HTTP and WebSocket; 0 for any free one [default: 3003].
    #[arg(long, env = "PORT")]
    pub port: Option<u16>,
    /// Address of HTTP and WebSocket [default: all; with --dev 127.0.0.1].
    #[arg(long, value_name = "IP", env = "HTTP_IP")]
    pub http_ip: Option<IpAddr>,
    /// Address and port for /metrics alone [default: /metrics is on the port of HTTP].
    #[arg(long, value_name = "IP:PORT", env = "METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// WebSockets at one time; more are answered 503 [default: 4096].
    #[arg(long, value_name = "COUNT", env = "MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,

    /// Address that media is received on [default: all].
    #[arg(long, value_name = "IP", env = "LISTEN_IP")]
    pub listen_ip: Option<IpAddr>,
    /// Addresses that clients are told, with commas between [default: every address of the host; with --dev loopback too].
    #[arg(long, value_name = "IP", env = "PUBLIC_IP", value_delimiter = ',')]
    pub public_ip: Option<Vec<IpAddr>>,
    /// First UDP port of media [default: 40000].
    #[arg(long, value_name = "PORT", env = "RTC_MIN_PORT")]
    pub rtc_min_port: Option<u16>,
    /// Last UDP port of media [default: 49999].
    #[arg(long, value_name = "PORT", env = "RTC_MAX_PORT")]
    pub rtc_max_port: Option<u16>,

    /// The most that one participant may send in bit/s [default: what its streams may together, 128000 for each sound, 2150000
    /// for a camera, 4000000 for a screen].
    #[arg(long, value_name = "BPS", env = "MAX_INCOMING_BITRATE")]
    pub max_incoming_bitrate: Option<u32>,

    /// Media shards [default: the CPUs of --cpuset, else those allowed less one].
    #[arg(long, value_name = "COUNT", env = "SHARDS")]
    pub shards: Option<usize>,
    /// CPUs of the shards, such as 0,2-5; each shard is pinned to one.
    #[arg(long, value_name = "CPUS", env = "CPUSET")]
    pub cpuset: Option<String>,
    /// CPUs of signaling and handshakes.
    #[arg(long, value_name = "CPUS", env = "SIGNAL_CPUSET")]
    pub signal_cpuset: Option<String>,
    /// Print which shard would run where, and end.
    #[arg(long)]
    pub dry_run: bool,

    /// Where permissions come from [default: token; with --dev open].
    #[arg(long, value_name = "SOURCE", env = "PERMISSIONS")]
    pub permissions: Option<PermissionSource>,
    /// Development: makes a secret, allows everything, serves HTTP on loopback alone, prints a link.
    #[arg(long)]
    pub dev: bool,
    /// `production` refuses --dev.
    #[arg(long, value_name = "NAME", env = "NODE_ENV")]
    pub node_env: Option<String>,

    /// Redis, for a copy of the rooms' state; not used yet. A password belongs into the environment variable.
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// A file that holds the URL of Redis.
    #[arg(long, value_name = "FILE", env = "REDIS_URL_FILE")]
    pub redis_url_file: Option<PathBuf>,
    /// User name of the TURN server; not used yet.
    #[arg(long, value_name = "NAME", env = "TURN_USERNAME")]
    pub turn_username: Option<String>,
    /// A file that holds the TURN server's credential; not used yet.
    #[arg(long, value_name = "FILE", env = "TURN_CREDENTIAL_FILE")]
    pub turn_credential_file: Option<PathBuf>,
    /// Port of the TURN server; not used yet.
    #[arg(long, value_name = "PORT", env = "TURN_PORT")]
    pub turn_port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_one_another() {
        Cli::command().debug_assert();
    }
}

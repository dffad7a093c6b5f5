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
      Shows which shard would run where, on a host with six CPUs, and ends.
  JWT_SECRET=... voice-service token --user alice
      Prints a token for alice, and on standard error the link that opens the web client with it.

A flag counts more than its environment variable, that more than the configuration file, that more than the default.
Secrets are no flags: JWT_SECRET, TURN_CREDENTIAL, or a file that --jwt-secret-file, --turn-credential-file names.";

/// A voice SFU: browsers hear each other through pinned media shards.
#[derive(Clone, Debug, Parser)]
#[command(name = "voice-service", version, after_help = EXAMPLES, allow_negative_numbers = true)]
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
    /// Print a token for a user, signed with the service's secret, and on standard error a link with it.
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
    #[arg(long, env = "PORT", global = true, value_parser = read_port)]
    pub port: Option<u16>,
    /// Address of HTTP and WebSocket [default: all; with --dev 127.0.0.1].
    #[arg(long, value_name = "IP", env = "HTTP_IP", global = true)]
    pub http_ip: Option<IpAddr>,
    /// Address and port for /metrics alone [default: /metrics is on the port of HTTP].
    #[arg(long, value_name = "IP:PORT", env = "METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// WebSockets at one time; more are answered 503 [default: 4096].
    #[arg(long, value_name = "COUNT", env = "MAX_CONNECTIONS", value_parser = read_count)]
    pub max_connections: Option<usize>,

    /// Address that media is received on [default: all].
    #[arg(long, value_name = "IP", env = "LISTEN_IP")]
    pub listen_ip: Option<IpAddr>,
    /// Addresses that clients are told, with commas between [default: every address of the host; with --dev loopback too].
    #[arg(long, value_name = "IP", env = "PUBLIC_IP", value_delimiter = ',', global = true)]
    pub public_ip: Option<Vec<IpAddr>>,
    /// First UDP port of media [default: 40000].
    #[arg(long, value_name = "PORT", env = "RTC_MIN_PORT", value_parser = read_port)]
    pub rtc_min_port: Option<u16>,
    /// Last UDP port of media [default: 49999].
    #[arg(long, value_name = "PORT", env = "RTC_MAX_PORT", value_parser = read_port)]
    pub rtc_max_port: Option<u16>,

    /// The most that one participant may send in bit/s [default: what its streams may together, 128000 for each sound, 2150000
    /// for a camera, 4000000 for a screen].
    #[arg(long, value_name = "BPS", env = "MAX_INCOMING_BITRATE", value_parser = read_bitrate)]
    pub max_incoming_bitrate: Option<u32>,

    /// How long packets gather in a shard once they come closer together than that, in microseconds, at most 20000 [default:
    /// 1000 where it has little to do, less the more it has, none from half a core on, and up to 5000 where it is nearly full].
    /// Some milliseconds cost less CPU for a packet and add as much latency; with 0 the shard wakes for each packet.
    #[arg(long, value_name = "MICROSECONDS", env = "COALESCE_US", value_parser = read_coalesce)]
    pub coalesce_us: Option<u32>,

    /// Media shards [default: the CPUs of --cpuset, else those allowed less one].
    #[arg(long, value_name = "COUNT", env = "SHARDS", value_parser = read_count)]
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

    /// Redis, for a copy of the rooms' state. A password belongs into the environment variable.
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true, help_heading = UNUSED)]
    pub redis_url: Option<String>,
    /// A file that holds the URL of Redis.
    #[arg(long, value_name = "FILE", env = "REDIS_URL_FILE", help_heading = UNUSED)]
    pub redis_url_file: Option<PathBuf>,
    /// User name of the TURN server.
    #[arg(long, value_name = "NAME", env = "TURN_USERNAME", help_heading = UNUSED)]
    pub turn_username: Option<String>,
    /// A file that holds the TURN server's credential.
    #[arg(long, value_name = "FILE", env = "TURN_CREDENTIAL_FILE", help_heading = UNUSED)]
    pub turn_credential_file: Option<PathBuf>,
    /// Port of the TURN server.
    #[arg(long, value_name = "PORT", env = "TURN_PORT", value_parser = read_port, help_heading = UNUSED)]
    pub turn_port: Option<u16>,
}

/// Over the flags that name what is still to come.
const UNUSED: &str = "Accepted, and not used yet";

// What the standard library says of a text that is no number speaks of digits, not of what is wanted.

fn read_port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "a port is a whole number from 0 to 65535")
}

fn read_count(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "a count is a whole number, such as 2")
}

fn read_bitrate(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "a bitrate is a whole number of bit/s below 2^32")
}

fn read_coalesce(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "a time is a whole number of microseconds from 0 to 20000")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_one_another() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_no_number_is_refused_with_what_is_wanted() {
        for (flags, wanted) in [
            (["--port", "abc"], "a whole number from 0 to 65535"),
            (["--port", "70000"], "a whole number from 0 to 65535"),
            (["--rtc-max-port", "-1"], "a whole number from 0 to 65535"),
            (["--shards", "two"], "a whole number, such as 2"),
            (["--max-incoming-bitrate", "2M"], "a whole number of bit/s"),
            (["--coalesce-us", "1ms"], "a whole number of microseconds"),
        ] {
            let [flag, value] = flags;
            for arguments in [vec![format!("{flag}={value}")], flags.map(str::to_owned).to_vec()] {
                let arguments = std::iter::once("voice-service".to_owned()).chain(arguments);
                let refused = Cli::try_parse_from(arguments).unwrap_err().to_string();
                assert!(refused.contains(wanted) && refused.contains(value), "{refused}");
            }
        }
    }
}

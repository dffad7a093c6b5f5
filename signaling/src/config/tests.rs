use std::io::Write;

use clap::Parser;

use super::*;

/// A file that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("voice-service-{:x}", rand::random::<u64>()));
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        Self(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn with_secret(name: &str) -> Option<String> {
    (name == "JWT_SECRET").then(|| "s".repeat(32))
}

fn resolve(flags: &[&str]) -> Result<Config, ConfigError> {
    let flags = std::iter::once("voice-service").chain(flags.iter().copied());
    Config::resolve(Cli::try_parse_from(flags).unwrap().serve, with_secret)
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = resolve(&[]).unwrap();
    assert_eq!((config.port, config.http_ip, config.rtc_ports), (3003, None, 40_000..=49_999));
    assert_eq!((config.permissions, config.is_dev, config.connections_max), (PermissionSource::Token, false, 4096));
    assert_eq!(config.incoming_bitrate_max_bps, None);
}

#[test]
fn a_flag_counts_more_than_the_file_and_the_file_more_than_the_default() {
    let file =
        Scratch::new("port = 1\nrtc-min-port = 50000\nrtc-max-port = 50010\npublic-ip = \"192.0.2.1\"\nshards = 3");
    let config = resolve(&["--config", &file.path(), "--port", "2"]).unwrap();
    assert_eq!((config.port, config.rtc_ports, config.shards), (2, 50_000..=50_010, Some(3)));
    assert_eq!(config.public_ips, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn the_cap_of_what_a_participant_sends_comes_from_flag_or_file() {
    let file = Scratch::new("max-incoming-bitrate = 3000000");
    let configured = resolve(&["--config", &file.path()]).unwrap();
    assert_eq!(configured.incoming_bitrate_max_bps, Some(3_000_000));
    let flagged = resolve(&["--config", &file.path(), "--max-incoming-bitrate", "128000"]).unwrap();
    assert_eq!(flagged.incoming_bitrate_max_bps, Some(128_000));
}

#[test]
fn how_long_packets_gather_comes_from_flag_or_file() {
    let file = Scratch::new("coalesce-us = 5000");
    assert_eq!(resolve(&[]).unwrap().coalesce, None);
    let configured = resolve(&["--config", &file.path()]).unwrap();
    assert_eq!(configured.coalesce, Some(Duration::from_millis(5)));
    let flagged = resolve(&["--config", &file.path(), "--coalesce-us", "0"]).unwrap();
    assert_eq!(flagged.coalesce, Some(Duration::ZERO));
}

#[test]
fn a_file_with_an_unknown_key_or_a_secret_is_refused() {
    for text in ["prot = 1", "jwt-secret = \"x\"", "port = \"x\"", "port ="] {
        let file = Scratch::new(text);
        assert!(matches!(resolve(&["--config", &file.path()]), Err(ConfigError::BadFile { .. })), "{text}");
    }
    assert!(matches!(resolve(&["--config", "/nowhere/at/all"]), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn without_a_secret_the_service_refuses_and_says_how_to_mend_it() {
    let args = || Cli::parse_from(["voice-service"]).serve;
    let error = Config::resolve(args(), |_| None).unwrap_err();
    assert!(error.to_string().contains("JWT_SECRET") && error.to_string().contains("--dev"));
    let empty = |name: &str| (name == "JWT_SECRET").then(String::new);
    assert!(matches!(Config::resolve(args(), empty), Err(ConfigError::NoSecret)));
    let dry_run = Cli::parse_from(["voice-service", "--dry-run"]).serve;
    assert_eq!(Config::resolve(dry_run, |_| None).unwrap().jwt_secret, None);
}

#[test]
fn a_secret_comes_from_a_file_without_its_line_break() {
    let file = Scratch::new("from a file\n");
    let config = resolve(&["--jwt-secret-file", &file.path()]).unwrap();
    let secret = config.jwt_secret.unwrap();
    assert_eq!(secret.as_bytes(), b"from a file");
    assert!(secret.is_weak());
    assert!(!format!("{secret:?}").contains("file"));
    let configured = Scratch::new(&format!("jwt-secret-file = {:?}", file.path()));
    let config = resolve(&["--config", &configured.path()]).unwrap();
    assert_eq!(config.jwt_secret.unwrap().as_bytes(), "s".repeat(32).as_bytes());
    let empty = Scratch::new("\n");
    assert!(matches!(resolve(&["--jwt-secret-file", &empty.path()]), Err(ConfigError::EmptySecret { .. })));
}

#[test]
fn development_makes_a_secret_allows_all_and_stays_on_loopback() {
    let dev = |flags: &[&str]| {
        let flags = ["voice-service", "--dev"].iter().chain(flags).copied();
        Config::resolve(Cli::try_parse_from(flags).unwrap().serve, |_| None)
    };
    let (first, second) = (dev(&[]).unwrap(), dev(&[]).unwrap());
    assert_ne!(first.jwt_secret, second.jwt_secret);
    assert_eq!(first.permissions, PermissionSource::Open);
    assert_eq!(first.http_ip, Some(Ipv4Addr::LOCALHOST.into()));
    assert!(dev(&["--http-ip", "127.0.0.2"]).is_ok());
    assert!(matches!(dev(&["--http-ip", "0.0.0.0"]), Err(ConfigError::DevBeyondLoopback { .. })));
    assert!(matches!(dev(&["--node-env", "production"]), Err(ConfigError::DevInProduction)));
}

#[test]
fn what_cannot_be_served_is_refused() {
    assert!(matches!(resolve(&["--permissions", "redis"]), Err(ConfigError::NoSuchSource { .. })));
    assert!(matches!(resolve(&["--permissions", "http"]), Err(ConfigError::NoSuchSource { .. })));
    assert!(matches!(resolve(&["--rtc-min-port", "50000"]), Err(ConfigError::NoPorts { .. })));
    assert!(matches!(resolve(&["--rtc-min-port", "0"]), Err(ConfigError::NoPorts { .. })));
    assert!(matches!(resolve(&["--max-connections", "0"]), Err(ConfigError::BadConnections { .. })));
    assert!(matches!(resolve(&["--max-incoming-bitrate", "3000"]), Err(ConfigError::BadIncomingBitrate { .. })));
    assert!(matches!(resolve(&["--coalesce-us", "20001"]), Err(ConfigError::BadCoalesce { .. })));
    assert!(matches!(resolve(&["--public-ip", "0.0.0.0"]), Err(ConfigError::BadPublicIp { .. })));
    assert!(matches!(resolve(&["--redis-url", "redis://:pw@host"]), Err(ConfigError::PasswordInFlag)));
    assert!(Cli::try_parse_from(["voice-service", "--jwt-secret", "x"]).is_err());
}

#[test]
fn what_does_nothing_yet_is_named() {
    let config = resolve(&["--redis-url", "redis://host", "--turn-port", "3478"]).unwrap();
    assert_eq!(config.unused, ["REDIS_URL", "TURN_PORT"]);
    let turn = |name: &str| name.starts_with("TURN_").then(|| "x".to_owned()).or_else(|| with_secret(name));
    let config = Config::resolve(Cli::parse_from(["voice-service"]).serve, turn).unwrap();
    assert_eq!(config.unused, ["TURN_CREDENTIAL", "TURN_URL", "TURN_URLS"]);
}

#[test]
fn a_token_without_a_secret_is_refused_in_words_of_its_own() {
    let args = || Cli::parse_from(["voice-service", "token", "--user", "alice"]).serve;
    let refused = TokenConfig::resolve(args(), |_| None).unwrap_err();
    assert!(matches!(refused, ConfigError::NoSigningSecret));
    assert!(refused.to_string().contains("sign") && !refused.to_string().contains("check tokens"), "{refused}");
}

#[test]
fn a_token_is_for_the_address_that_pages_are_served_at() {
    let page = |flags: &[&str]| {
        let flags = ["voice-service", "token", "--user", "alice"].iter().chain(flags).copied();
        let config = TokenConfig::resolve(Cli::try_parse_from(flags).unwrap().serve, with_secret).unwrap();
        (config.page_ip.map(|ip| ip.to_string()), config.port)
    };
    let ip = |text: &str| Some(text.to_owned());
    assert_eq!(page(&[]), (None, 3003));
    assert_eq!(page(&["--public-ip", "192.0.2.1,192.0.2.2", "--port", "4000"]), (ip("192.0.2.1"), 4000));
    assert_eq!(page(&["--public-ip", "192.0.2.1", "--http-ip", "127.0.0.1"]), (ip("127.0.0.1"), 3003));
    assert_eq!(page(&["--public-ip", "192.0.2.1", "--http-ip", "0.0.0.0"]), (ip("192.0.2.1"), 3003));
    let file = Scratch::new("port = 5000\npublic-ip = [\"2001:db8::1\"]");
    assert_eq!(page(&["--config", &file.path()]), (ip("2001:db8::1"), 5000));
}

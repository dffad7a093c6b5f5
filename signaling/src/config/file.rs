//! The configuration file: TOML with keys named like the flags. Secrets are named by file here, never written in.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use crate::permissions::PermissionSource;

/// Keys of the file; one that is none of these is refused, as it would be a typing error.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    pub(super) port: Option<u16>,
    pub(super) http_ip: Option<IpAddr>,
    pub(super) metrics_listen: Option<SocketAddr>,
    pub(super) max_connections: Option<usize>,
    pub(super) listen_ip: Option<IpAddr>,
    pub(super) public_ip: Option<OneOrMany>,
    pub(super) rtc_min_port: Option<u16>,
    pub(super) rtc_max_port: Option<u16>,
    pub(super) max_incoming_bitrate: Option<u32>,
    pub(super) coalesce_us: Option<u32>,
    pub(super) shards: Option<usize>,
    pub(super) cpuset: Option<String>,
    pub(super) signal_cpuset: Option<String>,
    pub(super) permissions: Option<PermissionSource>,
    pub(super) dev: Option<bool>,
    pub(super) node_env: Option<String>,
    pub(super) jwt_secret_file: Option<PathBuf>,
    pub(super) redis_url: Option<String>,
    pub(super) redis_url_file: Option<PathBuf>,
    pub(super) turn_username: Option<String>,
    pub(super) turn_credential_file: Option<PathBuf>,
    pub(super) turn_port: Option<u16>,
}

/// One address, or a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(IpAddr),
    Many(Vec<IpAddr>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<IpAddr> {
        match self {
            Self::One(ip) => vec![ip],
            Self::Many(ips) => ips,
        }
    }
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::BadFile { path: path.to_owned(), cause: error.to_string() })
    }
}

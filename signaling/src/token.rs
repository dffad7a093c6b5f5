//! Tokens for development and trials: `voice-service token` with its link, and those that `--dev` hands out.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::auth::NewToken;
use crate::config::{Secret, TokenArgs, TokenConfig};
use crate::permissions::Permissions;
use crate::wire::{ChannelId, UserId};

/// The room that a link opens where nothing says which.
const ROOM_DEFAULT: &str = "lobby";

/// Why no token is made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The user has a name that no user has.
    #[error("--user {0}: a user is 1-64 characters of A-Z a-z 0-9 _ - and full stop")]
    BadUser(String),
    /// A channel has a name that no channel has.
    #[error("--channels {0}: a channel is 1-64 characters of A-Z a-z 0-9 _ - and full stop")]
    BadChannel(String),
    /// The permissions are no decimal number.
    #[error("--permissions {0}: a decimal number, such as {member} for connect, speak and stream", member = Permissions::MEMBER.bits())]
    BadPermissions(String),
    /// The time is no time.
    #[error("--expires-in {0}: a number with s, m, h or d, such as 12h")]
    BadTime(String),
    /// The library refused.
    #[error("signing the token: {0}")]
    Unsigned(String),
}

/// Makes the token that the command line asks for.
///
/// # Errors
/// A flag makes no sense.
pub fn mint(args: &TokenArgs, secret: &Secret) -> Result<String, TokenError> {
    let permissions = match &args.permissions {
        Some(bits) => Permissions::parse(bits).ok_or_else(|| TokenError::BadPermissions(bits.clone()))?,
        None => Permissions::MEMBER,
    };
    let lifetime = parse_lifetime(&args.expires_in).ok_or_else(|| TokenError::BadTime(args.expires_in.clone()))?;
    sign(&args.user, permissions, args.channels.as_deref(), lifetime, secret)
}

/// What to do with a token that [`mint`] made: the link of the web client with it, and how it changes behind a proxy.
pub fn describe_link(config: &TokenConfig, args: &TokenArgs, token: &str) -> String {
    let room = args.channels.iter().flatten().next().map_or(ROOM_DEFAULT, String::as_str);
    let host = match config.page_ip.unwrap_or(Ipv4Addr::LOCALHOST.into()) {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let port = match config.port {
        0 => "PORT".to_owned(),
        port => port.to_string(),
    };
    // Behind `#` the token stays in the browser, out of every server's log.
    format!(
        "Open http://{host}:{port}/#room={room}&token={token}\n\
         Where people reach the service by another address, put that one in. Browsers let a page have a microphone or a \
         camera over https:// and on localhost only."
    )
}

/// Signs a token that lives for `lifetime` from now on.
///
/// # Errors
/// The user's name, or a channel's, makes no sense.
pub fn sign(
    user: &str,
    permissions: Permissions,
    channels: Option<&[String]>,
    lifetime: Duration,
    secret: &Secret,
) -> Result<String, TokenError> {
    if UserId::new(user).is_none() {
        return Err(TokenError::BadUser(user.to_owned()));
    }
    if let Some(channel) = channels.iter().copied().flatten().find(|channel| ChannelId::new(channel).is_none()) {
        return Err(TokenError::BadChannel(channel.clone()));
    }
    let expires_at_s = unix_s().saturating_add(lifetime.as_secs());
    let permissions = Some(permissions.bits().to_string());
    let token = NewToken { user_id: user, expires_at_s, permissions, channels };
    token.sign(secret.as_bytes()).map_err(|error| TokenError::Unsigned(error.to_string()))
}

/// Seconds since the Unix epoch.
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Reads a number with s, m, h or d; at most a hundred years, beyond which clocks and numbers get strange.
fn parse_lifetime(text: &str) -> Option<Duration> {
    const LIFETIME_MAX_S: u64 = 100 * 365 * 24 * 3600;
    let number = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit_s = match text.strip_prefix(number)? {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    let lifetime_s = number.parse::<u64>().ok()?.checked_mul(unit_s)?;
    (1..=LIFETIME_MAX_S).contains(&lifetime_s).then(|| Duration::from_secs(lifetime_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Verifier;
    use crate::permissions::PermissionSource;

    fn args(user: &str) -> TokenArgs {
        TokenArgs { user: user.into(), permissions: None, channels: None, expires_in: "1h".into() }
    }

    #[test]
    fn a_minted_token_lets_its_user_in() {
        let secret = Secret::random();
        let token = mint(&TokenArgs { channels: Some(vec!["lobby".into()]), ..args("alice") }, &secret).unwrap();
        let identity = Verifier::new(secret.as_bytes(), PermissionSource::Token).verify(&token, unix_s()).unwrap();
        assert_eq!(identity.user.as_str(), "alice");
        assert_eq!(identity.grant.check(Permissions::MEMBER, "x", "lobby"), Ok(()));
        assert!(identity.grant.check(Permissions::CONNECT, "x", "other").is_err());
    }

    #[test]
    fn the_link_leads_to_the_room_by_the_address_that_is_known() {
        let link = |page_ip: Option<&str>, port, args: &TokenArgs| {
            let page_ip = page_ip.map(|ip| ip.parse().unwrap());
            describe_link(&TokenConfig { secret: Secret::random(), page_ip, port }, args, "a.b.c")
        };
        let local = link(None, 3003, &args("alice"));
        assert!(local.starts_with("Open http://127.0.0.1:3003/#room=lobby&token=a.b.c\n"), "{local}");
        let channels = Some(vec!["standup".into(), "x".into()]);
        let elsewhere = link(Some("2001:db8::1"), 4000, &TokenArgs { channels, ..args("alice") });
        assert!(elsewhere.starts_with("Open http://[2001:db8::1]:4000/#room=standup&token=a.b.c\n"), "{elsewhere}");
        assert!(link(Some("192.0.2.1"), 0, &args("alice")).starts_with("Open http://192.0.2.1:PORT/#"));
    }

    #[test]
    fn senseless_flags_are_refused() {
        let secret = Secret::random();
        assert!(matches!(mint(&args("a b"), &secret), Err(TokenError::BadUser(_))));
        for channel in ["a/b", "a b", "", &"x".repeat(65)] {
            let channels = Some(vec!["lobby".into(), channel.into()]);
            let nowhere = TokenArgs { channels, ..args("a") };
            assert_eq!(mint(&nowhere, &secret), Err(TokenError::BadChannel(channel.into())));
        }
        let bits = TokenArgs { permissions: Some("speak".into()), ..args("a") };
        assert!(matches!(mint(&bits, &secret), Err(TokenError::BadPermissions(_))));
        for time in ["", "h", "5", "-5h", "0s", "5y", "1.5h", "99999999999999999999d", "5 h", "200000d"] {
            let late = TokenArgs { expires_in: time.into(), ..args("a") };
            assert!(matches!(mint(&late, &secret), Err(TokenError::BadTime(_))), "{time}");
        }
    }
}

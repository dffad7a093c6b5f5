//! What a user may do: Discord's bits, and where they come from.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A set of rights, by Discord's bit numbers. Bits that mean nothing here are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    /// No right.
    pub const NONE: Self = Self(0);
    /// All rights.
    pub const ADMINISTRATOR: Self = Self(1 << 3);
    /// Send a camera or a screen.
    pub const STREAM: Self = Self(1 << 9);
    /// Join a channel.
    pub const CONNECT: Self = Self(1 << 20);
    /// Send a microphone.
    pub const SPEAK: Self = Self(1 << 21);

    /// What a member of a channel commonly has: join, speak, show.
    pub const MEMBER: Self = Self(Self::CONNECT.0 | Self::SPEAK.0 | Self::STREAM.0);

    /// Digits of a decimal string. Discord's sets have under 20; a longer one is noise, not a set.
    const DIGITS_MAX: usize = 64;

    /// Takes a set from its number.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set as its number.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `wanted` are granted; an administrator has every right.
    pub fn allows(self, wanted: Self) -> bool {
        self.0 & Self::ADMINISTRATOR.0 != 0 || self.0 & wanted.0 == wanted.0
    }

    /// Reads a decimal string. Sets may have more than 64 bits; those past the 64th are dropped, the others are exact.
    pub fn parse(digits: &str) -> Option<Self> {
        let is_decimal =
            !digits.is_empty() && digits.len() <= Self::DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
        // Arithmetic modulo 2^64 keeps the low 64 bits of any number exact.
        let fold = |bits: u64, byte: u8| bits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        is_decimal.then(|| Self(digits.bytes().fold(0, fold)))
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bits;

        impl Visitor<'_> for Bits {
            type Value = Permissions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("permissions as a decimal string or a whole number below 2^64")
            }

            fn visit_u64<E: Error>(self, bits: u64) -> Result<Permissions, E> {
                Ok(Permissions(bits))
            }

            fn visit_str<E: Error>(self, digits: &str) -> Result<Permissions, E> {
                Permissions::parse(digits).ok_or_else(|| E::custom("permissions that are no decimal number"))
            }
        }

        deserializer.deserialize_any(Bits)
    }
}

/// Where a user's rights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PermissionSource {
    /// The token's claims `permissions` and `channels`.
    Token,
    /// Everybody may do everything: for development.
    Open,
    /// Redis; not available yet.
    #[value(hide = true)]
    Redis,
    /// The API service; not available yet.
    #[value(hide = true)]
    Http,
}

/// What one connection may do, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The rights; `None` where the token claims none.
    pub permissions: Option<Permissions>,
    /// The channels that they hold in; everywhere where it is `None`.
    pub channels: Option<Vec<String>>,
}

impl Grant {
    /// All rights everywhere.
    pub fn everything() -> Self {
        Self { permissions: Some(Permissions::ADMINISTRATOR), channels: None }
    }

    /// Checks for `wanted` in `channel`.
    ///
    /// # Errors
    /// A sentence that says what is missing, and what would mend it.
    pub fn check(&self, wanted: Permissions, wanted_name: &str, channel: &str) -> Result<(), String> {
        let Some(permissions) = self.permissions else {
            return Err("The token has no claim `permissions`, so it grants no rights: add the claim, or start the \
                service with `--permissions open` for development."
                .to_owned());
        };
        if self.channels.as_ref().is_some_and(|channels| !channels.iter().any(|listed| listed == channel)) {
            return Err("The token's claim `channels` does not list this channel.".to_owned());
        }
        if !permissions.allows(wanted) {
            return Err(format!("The permission {wanted_name} is missing."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_53_bits_are_exact_as_string_and_as_number() {
        let bits = (1 << 62) | (1 << 53) | 1;
        assert_eq!(Permissions::parse(&bits.to_string()), Some(Permissions(bits)));
        assert_eq!(serde_json::from_str::<Permissions>(&bits.to_string()).unwrap(), Permissions(bits));
        assert_eq!(serde_json::from_str::<Permissions>(&format!("\"{bits}\"")).unwrap(), Permissions(bits));
    }

    #[test]
    fn bits_past_the_64th_are_dropped_and_the_others_kept() {
        let huge = (1_u128 << 70) | (1 << 21) | (1 << 20);
        assert_eq!(Permissions::parse(&huge.to_string()), Some(Permissions((1 << 21) | (1 << 20))));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in
            ["-1", "1.5", "1e3", "true", "null", "[]", "\"\"", "\"0x10\"", "\"-1\"", "\" 1\"", "36893488147419103232"]
        {
            assert!(serde_json::from_str::<Permissions>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_administrator_may_everything_and_others_what_is_listed() {
        assert!(Permissions::ADMINISTRATOR.allows(Permissions::SPEAK));
        assert!(Permissions::MEMBER.allows(Permissions::SPEAK));
        assert!(!Permissions::CONNECT.allows(Permissions::MEMBER));
    }

    #[test]
    fn a_grant_says_what_is_missing() {
        let none = Grant::default();
        assert!(none.check(Permissions::CONNECT, "CONNECT", "lobby").unwrap_err().contains("--permissions"));
        let elsewhere = Grant { permissions: Some(Permissions::MEMBER), channels: Some(vec!["other".into()]) };
        assert!(elsewhere.check(Permissions::CONNECT, "CONNECT", "lobby").unwrap_err().contains("channels"));
        assert_eq!(elsewhere.check(Permissions::CONNECT, "CONNECT", "other"), Ok(()));
        let deaf = Grant { permissions: Some(Permissions::CONNECT), channels: None };
        assert!(deaf.check(Permissions::SPEAK, "SPEAK", "lobby").unwrap_err().contains("SPEAK"));
        assert_eq!(Grant::everything().check(Permissions::SPEAK, "SPEAK", "x"), Ok(()));
    }
}

//! Names that clients see: channels, users, and the opaque ids that the service makes.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};

/// The longest channel or user name, in bytes.
pub const NAME_LEN_MAX: usize = 64;

/// Whether `name` is 1 to [`NAME_LEN_MAX`] characters of `A-Z a-z 0-9 _ - .`: what is safe in a storage key and a log.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_LEN_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as clients write it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name!(
    /// A voice channel; one room.
    ChannelId
);
name!(
    /// A user, as the token names it.
    UserId
);
name!(
    /// The id of a connection, transport, producer or consumer: random, and meaningless to clients.
    PublicId
);

impl ChannelId {
    /// Takes a channel's name; `None` where [`is_name`] says no.
    pub fn new(name: &str) -> Option<Self> {
        is_name(name).then(|| Self(name.into()))
    }
}

impl UserId {
    /// Takes a user's name; `None` where [`is_name`] says no.
    pub fn new(name: &str) -> Option<Self> {
        is_name(name).then(|| Self(name.into()))
    }
}

impl PublicId {
    /// Makes an id of 128 random bits: nobody guesses another's, and none comes twice.
    pub fn random() -> Self {
        let bits: [u8; 16] = rand::random();
        Self(URL_SAFE_NO_PAD.encode(bits).into())
    }
}

impl std::borrow::Borrow<str> for PublicId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_of_safe_characters() {
        for good in ["a", "A-Z_0.9", &"x".repeat(NAME_LEN_MAX)] {
            assert!(ChannelId::new(good).is_some() && UserId::new(good).is_some(), "{good}");
        }
        for bad in ["", "a:b", "a b", "ä", "a/b", "a\0", &"x".repeat(NAME_LEN_MAX + 1)] {
            assert!(ChannelId::new(bad).is_none() && UserId::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn public_ids_differ_and_are_short() {
        let (first, second) = (PublicId::random(), PublicId::random());
        assert_ne!(first, second);
        assert_eq!(first.as_str().len(), 22);
    }
}

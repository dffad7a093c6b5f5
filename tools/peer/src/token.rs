//! Tokens as the API service would issue them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use crate::PeerError;

/// How long a token of a test is valid: longer than any test, shorter than a day.
const LIFETIME: Duration = Duration::from_secs(3600);

/// What a token says about its bearer.
#[derive(Clone, Debug, Serialize)]
pub struct Claims {
    /// The user.
    #[serde(rename = "userId")]
    pub user_id: String,
    /// The end of its validity in seconds since the Unix epoch.
    pub exp: u64,
    /// The rights as a decimal string of permission bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
}

impl Claims {
    /// Claims of `user_id` with the rights to connect, to speak and to stream, valid for an hour.
    pub fn new(user_id: &str) -> Self {
        let permissions: u64 = 1 << 9 | 1 << 20 | 1 << 21;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { user_id: user_id.into(), exp: (now + LIFETIME).as_secs(), permissions: Some(permissions.to_string()) }
    }
}

/// Signs `claims` with HS256 under `secret`.
pub fn mint(secret: &str, claims: &Claims) -> Result<String, PeerError> {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .map_err(|error| PeerError::Protocol(format!("the token could not be signed: {error}")))
}

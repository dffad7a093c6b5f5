//! Who a connection belongs to: the token, where it stands in an upgrade request, and what makes it good.

use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, Uri};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};

use crate::permissions::{Grant, PermissionSource, Permissions};
use crate::wire::{PROTOCOL, UserId};

/// Bytes of a secret below which it is called weak: HS256 wants a key as long as its hash (RFC 7518 section 3.2).
pub const SECRET_LEN_ADVISED: usize = 32;

/// Bytes of a token. Real ones stay under 1 KB; the whole header block of a request is bounded too.
const TOKEN_LEN_MAX: usize = 8 * 1024;

/// How far the clocks of two hosts may differ for a token that is not valid before a time, in seconds.
const CLOCK_SKEW_MAX_S: u64 = 60;

/// A connection's owner, from a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// What the user may do.
    pub grant: Grant,
    /// When the token ends, in seconds since the Unix epoch.
    pub expires_at_s: u64,
}

/// Why an upgrade is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    /// No token in any of the three places.
    #[error("no token: send `Authorization: Bearer`, the subprotocols `voice.v1, bearer.<token>`, or `?token=`")]
    NoToken,
    /// The token is malformed, its signature or its algorithm is wrong, or a claim has the wrong type.
    #[error("the token is not a JWT signed with HS256 and this service's secret, or a claim of it has the wrong type")]
    BadToken,
    /// The token has no `exp`, or one that is past.
    #[error("the token expired, or has no `exp`")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet: its `nbf` lies ahead")]
    NotYetValid,
    /// Neither `userId` nor `sub`, or a name that is no user's.
    #[error("the token names no user: `userId` or `sub`, 1-64 characters of A-Z a-z 0-9 _ - .")]
    NoUser,
    /// Subprotocols are offered, but not the service's.
    #[error("subprotocols are offered, but not `voice.v1`")]
    UnknownSubprotocol,
}

impl AuthError {
    /// The error as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NoUser => "no_user",
            Self::UnknownSubprotocol => "unknown_subprotocol",
        }
    }
}

/// What a token claims.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "read_name")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "read_name")]
    sub: Option<String>,
    #[serde(default)]
    permissions: Option<Permissions>,
    #[serde(default)]
    channels: Option<Vec<String>>,
}

/// Reads a name that may be a string or a whole number.
fn read_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Name {
        Text(String),
        Positive(u64),
        Negative(i64),
    }
    Ok(Option::<Name>::deserialize(deserializer)?.map(|name| match name {
        Name::Text(text) => text,
        Name::Positive(number) => number.to_string(),
        Name::Negative(number) => number.to_string(),
    }))
}

/// Checks tokens.
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
    source: PermissionSource,
}

impl Verifier {
    /// A verifier of tokens signed with `secret`.
    pub fn new(secret: &[u8], source: PermissionSource) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Past is past; and audience is for the issuer's other services to use as they like.
        validation.leeway = 0;
        validation.validate_aud = false;
        Self { key: DecodingKey::from_secret(secret), validation, source }
    }

    /// Checks a token at `now_s`, seconds since the Unix epoch.
    ///
    /// # Errors
    /// Every fault of a token is a reason of its own; none says more of the secret than that it does not fit.
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Identity, AuthError> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(AuthError::BadToken);
        }
        let decoded =
            jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature
                | jsonwebtoken::errors::ErrorKind::MissingRequiredClaim(_) => AuthError::Expired,
                _ => AuthError::BadToken,
            })?;
        // RFC 7515 section 4.1.11: what the issuer calls critical and the reader does not know makes a token bad; the
        // library leaves that to its user. This reader knows no extension.
        if decoded.header.crit.is_some() {
            return Err(AuthError::BadToken);
        }
        let claims = decoded.claims;
        // The library reads the clock itself; this is the service's own time, and the one for the rest of the session.
        let expires_at_s = claims.exp.filter(|&exp| exp > now_s as f64).ok_or(AuthError::Expired)?;
        if claims.nbf.is_some_and(|not_before| not_before > (now_s + CLOCK_SKEW_MAX_S) as f64) {
            return Err(AuthError::NotYetValid);
        }
        let name = claims.user_id.or(claims.sub).ok_or(AuthError::NoUser)?;
        let user = UserId::new(&name).ok_or(AuthError::NoUser)?;
        let grant = match self.source {
            PermissionSource::Open => Grant::everything(),
            _ => Grant { permissions: claims.permissions, channels: claims.channels },
        };
        Ok(Identity { user, grant, expires_at_s: expires_at_s as u64 })
    }
}

/// What a new token says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewToken<'a> {
    /// The user.
    pub user_id: &'a str,
    /// When it ends, in seconds since the Unix epoch.
    #[serde(rename = "exp")]
    pub expires_at_s: u64,
    /// The rights as a decimal string, which no JSON parser rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
    /// The channels that the rights hold in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<&'a [String]>,
}

impl NewToken<'_> {
    /// Signs the token with `secret`.
    ///
    /// # Errors
    /// Where the cryptographic library refuses.
    pub fn sign(&self, secret: &[u8]) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), self, &EncodingKey::from_secret(secret))
    }
}

/// Finds the token of an upgrade request: in `Authorization`, else among the subprotocols, else in the query.
///
/// # Errors
/// [`AuthError::UnknownSubprotocol`], a bad request, or [`AuthError::NoToken`].
pub fn find_token<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<&'a str, AuthError> {
    let offered = || {
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim)
    };
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) && !offered().any(|name| name == PROTOCOL) {
        return Err(AuthError::UnknownSubprotocol);
    }
    let in_header = || {
        let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    };
    let in_subprotocol = || offered().find_map(|name| name.strip_prefix("bearer."));
    // A JWT consists of characters that a query needs no escape for.
    let in_query = || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="));
    in_header().or_else(in_subprotocol).or_else(in_query).ok_or(AuthError::NoToken)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"a secret of thirty-two bytes, ok";

    fn now_s() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    fn sign(claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).unwrap()
    }

    fn verify(token: &str) -> Result<Identity, AuthError> {
        Verifier::new(SECRET, PermissionSource::Token).verify(token, now_s())
    }

    #[test]
    fn a_user_is_a_string_or_a_number_and_user_id_comes_before_sub() {
        let exp = now_s() + 60;
        let user = |claims| verify(&sign(&claims)).unwrap().user.to_string();
        assert_eq!(user(json!({"exp": exp, "userId": "alice"})), "alice");
        assert_eq!(user(json!({"exp": exp, "sub": "bob"})), "bob");
        assert_eq!(user(json!({"exp": exp, "sub": "bob", "userId": 7})), "7");
        assert_eq!(user(json!({"exp": exp, "sub": u64::MAX})), u64::MAX.to_string());
    }

    #[test]
    fn tokens_without_a_user_are_refused() {
        let exp = now_s() + 60;
        for claims in [json!({"exp": exp}), json!({"exp": exp, "userId": "a:b"}), json!({"exp": exp, "userId": ""})] {
            assert_eq!(verify(&sign(&claims)), Err(AuthError::NoUser));
        }
    }

    #[test]
    fn expired_forged_unsigned_and_wrongly_typed_tokens_are_refused() {
        let exp = now_s() + 60;
        assert_eq!(verify(&sign(&json!({"userId": "a", "exp": now_s() - 1}))), Err(AuthError::Expired));
        assert_eq!(verify(&sign(&json!({"userId": "a"}))), Err(AuthError::Expired));
        for wrong in [json!("soon"), json!(true), json!([]), json!({}), json!(exp.to_string())] {
            assert!(verify(&sign(&json!({"userId": "a", "exp": wrong}))).is_err(), "{wrong}");
        }
        for wrong in [json!({}), json!(1.5), json!([1]), json!(true)] {
            assert_eq!(verify(&sign(&json!({"userId": wrong, "exp": exp}))), Err(AuthError::BadToken));
            assert_eq!(
                verify(&sign(&json!({"userId": "a", "exp": exp, "permissions": wrong}))),
                Err(AuthError::BadToken)
            );
        }
        let good = sign(&json!({"userId": "a", "exp": exp}));
        assert!(verify(&good).is_ok());
        let (head, signature) = good.rsplit_once('.').unwrap();
        let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
        assert_eq!(verify(&forged), Err(AuthError::BadToken));
        use base64::Engine as _;
        let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = part(&json!({"userId": "a", "exp": exp}));
        for alg in ["none", "None", "HS384", "RS256"] {
            let header = part(&json!({"alg": alg, "typ": "JWT"}));
            assert_eq!(verify(&format!("{header}.{claims}.")), Err(AuthError::BadToken), "{alg}");
            assert_eq!(verify(&format!("{header}.{claims}.{signature}")), Err(AuthError::BadToken), "{alg}");
        }
        for nonsense in ["", ".", "..", "a.b.c", &"x".repeat(100_000)] {
            assert_eq!(verify(nonsense), Err(AuthError::BadToken));
        }
    }

    #[test]
    fn another_hash_of_the_same_family_is_refused() {
        let claims = json!({"userId": "a", "exp": now_s() + 60});
        let key = EncodingKey::from_secret(SECRET);
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims, &key).unwrap();
        assert_eq!(verify(&token), Err(AuthError::BadToken));
    }

    #[test]
    fn a_token_with_a_critical_extension_is_refused() {
        let claims = json!({"userId": "a", "exp": now_s() + 60});
        let header = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap();
        assert_eq!(verify(&token), Err(AuthError::BadToken));
    }

    #[test]
    fn a_token_of_the_future_is_refused_beyond_clock_skew() {
        let claims = |nbf| json!({"userId": "a", "exp": now_s() + 600, "nbf": nbf});
        assert!(verify(&sign(&claims(now_s() + 5))).is_ok());
        assert_eq!(verify(&sign(&claims(now_s() + 300))), Err(AuthError::NotYetValid));
    }

    #[test]
    fn open_permissions_ignore_claims_and_token_permissions_take_them() {
        let token = sign(&json!({"userId": "a", "exp": now_s() + 60, "permissions": "1048576", "channels": ["x"]}));
        let grant = verify(&token).unwrap().grant;
        assert_eq!(grant.permissions, Some(Permissions::CONNECT));
        assert_eq!(grant.channels.as_deref(), Some(&["x".to_owned()][..]));
        let open = Verifier::new(SECRET, PermissionSource::Open).verify(&token, now_s()).unwrap();
        assert_eq!(open.grant, Grant::everything());
    }

    #[test]
    fn a_minted_token_is_a_good_one() {
        let expires_at_s = now_s() + 60;
        let permissions = Some(u64::MAX.to_string());
        let token = NewToken { user_id: "alice", expires_at_s, permissions, channels: None }.sign(SECRET).unwrap();
        let identity = verify(&token).unwrap();
        assert_eq!(identity.expires_at_s, expires_at_s);
        assert_eq!(identity.grant.permissions, Some(Permissions::from_bits(u64::MAX)));
    }

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_token_is_looked_for_in_three_places_in_order() {
        let uri: Uri = "/signaling?a=b&token=query".parse().unwrap();
        let bare: Uri = "/signaling".parse().unwrap();
        let all = [(AUTHORIZATION, "bearer header"), (SEC_WEBSOCKET_PROTOCOL, "voice.v1, bearer.subprotocol")];
        assert_eq!(find_token(&headers(&all), &uri), Ok("header"));
        assert_eq!(find_token(&headers(&all[1..]), &uri), Ok("subprotocol"));
        assert_eq!(find_token(&headers(&[(SEC_WEBSOCKET_PROTOCOL, "voice.v1")]), &uri), Ok("query"));
        assert_eq!(find_token(&HeaderMap::new(), &uri), Ok("query"));
        assert_eq!(find_token(&headers(&[(AUTHORIZATION, "Basic x")]), &bare), Err(AuthError::NoToken));
    }

    #[test]
    fn a_client_that_offers_subprotocols_offers_ours() {
        let uri: Uri = "/signaling?token=query".parse().unwrap();
        for offer in ["bearer.x", "voice.v2", "voice.v1x", ""] {
            let headers = headers(&[(SEC_WEBSOCKET_PROTOCOL, offer)]);
            assert_eq!(find_token(&headers, &uri), Err(AuthError::UnknownSubprotocol), "{offer}");
        }
        let offered = headers(&[(SEC_WEBSOCKET_PROTOCOL, "other"), (SEC_WEBSOCKET_PROTOCOL, "voice.v1")]);
        assert_eq!(find_token(&offered, &uri), Ok("query"));
    }
}

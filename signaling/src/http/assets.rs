//! The web client: the files that its build made, compiled in.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use rust_embed::RustEmbed;

/// What `npm run build` left; nothing where it has not run.
#[derive(RustEmbed)]
#[folder = "../tools/web/dist/"]
#[allow_missing = true]
struct Client;

/// Scripts, styles and sockets of this origin alone; no frames, no plug-ins. `ws:` and `wss:` stand for browsers that do not
/// count a WebSocket of this origin as `'self'`.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; manifest-src 'self'; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What pages of this origin may ask the user for.
const FEATURE_POLICY: &str = "microphone=(self), camera=(self), display-capture=(self), autoplay=(self), \
    geolocation=(), payment=(), usb=()";

const UNBUILT_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Voice Service</title>\
    <h1>The service runs; its web client is not built in.</h1>\
    <p>Build the client with <code>npm ci &amp;&amp; npm run build</code> in <code>tools/web</code>, then build the service \
    again. <code>tools/start</code> does both.</p></html>";

/// Answers a GET for `/` or a file of the client.
pub(super) fn serve(uri: &Uri, headers: &HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    match Client::get(path) {
        Some(file) => {
            let tag = entity_tag(&file.metadata.sha256_hash());
            let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| lists(known, &tag));
            let (status, body) = match is_known {
                true => (StatusCode::NOT_MODIFIED, Body::empty()),
                false => (StatusCode::OK, Body::from(file.data)),
            };
            let mut response = page(status, file.metadata.mimetype(), body);
            set(&mut response, CACHE_CONTROL, cache_policy(path));
            set(&mut response, ETAG, &tag);
            response
        }
        None if path == "index.html" => {
            let mut response = page(StatusCode::OK, "text/html", Body::from(UNBUILT_PAGE));
            set(&mut response, CACHE_CONTROL, "no-store");
            response
        }
        None => page(StatusCode::NOT_FOUND, "text/plain", Body::from("Not found.\n")),
    }
}

fn page(status: StatusCode, mime_type: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let is_text = mime_type.starts_with("text/") || mime_type.ends_with("javascript");
    let content_type = if is_text { format!("{mime_type}; charset=utf-8") } else { mime_type.to_owned() };
    set(&mut response, CONTENT_TYPE, &content_type);
    set(&mut response, CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, REFERRER_POLICY, "no-referrer");
    set(&mut response, HeaderName::from_static("permissions-policy"), FEATURE_POLICY);
    set(&mut response, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Whether an `If-None-Match` names the tag, weakly or strongly (RFC 9110 section 13.1.2).
fn lists(known: &HeaderValue, tag: &str) -> bool {
    let is_tag = |listed: &str| listed.trim().trim_start_matches("W/") == tag || listed.trim() == "*";
    known.to_str().is_ok_and(|list| list.split(',').any(is_tag))
}

fn entity_tag(hash: &[u8; 32]) -> String {
    let short: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{short}\"")
}

/// A file whose name carries a hash never changes; any other is asked for again.
fn cache_policy(path: &str) -> &'static str {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let last = stem.rsplit(['-', '.']).next().unwrap_or_default();
    let is_hash = last.len() >= 8
        && last.len() < stem.len()
        && last.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && last.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    if is_hash { "public, max-age=31536000, immutable" } else { "no-cache" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_is_always_there_and_nothing_outside_the_folder_is() {
        let get = |path: &str| serve(&path.parse().unwrap(), &HeaderMap::new());
        let first = get("/");
        assert_eq!(first.status(), StatusCode::OK);
        assert!(first.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script-src 'self'"));
        assert_eq!(first.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        for path in ["/none.js", "/../package.json", "//etc/passwd", "/%2e%2e/package.json", "/.././src/main.ts"] {
            assert_eq!(get(path).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn only_names_with_a_hash_are_kept_for_good() {
        for hashed in ["main-8ZQX3F2A.js", "assets/style.3f9a01bc.css"] {
            assert!(cache_policy(hashed).contains("immutable"), "{hashed}");
        }
        for plain in ["index.html", "favicon.svg", "main.js", "connection-quality.js", "12345678"] {
            assert_eq!(cache_policy(plain), "no-cache", "{plain}");
        }
    }

    #[test]
    fn a_known_tag_is_recognised() {
        let tag = entity_tag(&[1; 32]);
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            assert!(lists(&known.parse().unwrap(), &tag), "{known}");
        }
        assert!(!lists(&"\"x\"".parse().unwrap(), &tag));
    }
}

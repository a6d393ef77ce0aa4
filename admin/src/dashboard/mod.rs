//! The dashboard is one page, which sends requests only to the API of its own router.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const FRAME: &str = include_str!("index.html");

const STYLE: &str = include_str!("style.css");

/// The script is one module, so that it defines nothing global.
const SCRIPT: &str = concat!(
    include_str!("api.js"),
    include_str!("model.js"),
    include_str!("format.js"),
    include_str!("queue.js"),
    include_str!("view.js"),
    include_str!("actions.js"),
    include_str!("stream.js"),
);

static PAGE: LazyLock<String> =
    LazyLock::new(|| FRAME.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT));

/// The policy allows only this style and this script, and requests only to this server; no text
/// becomes a script.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// Handles `GET /`, or the path at which the router is nested.
pub(crate) async fn page() -> Response {
    let mut response = PAGE.as_str().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Returns whether the request is for the page, which has no secrets: it prompts for the token.
pub(crate) fn is_requested(request: &Request) -> bool {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    reads && request.uri().path() == "/"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_matches_its_content_security_policy() {
        assert!(PAGE.contains(&format!("<style>{STYLE}</style>")));
        assert!(PAGE.contains(&format!("<script type=\"module\">{SCRIPT}</script>")));
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("<style").count(), 1);
        // These would end the elements early, change line ends, or execute data.
        for bad in ["</script", "</style", "<!--", "\r", "innerHTML", "eval(", "http:", "https:"] {
            assert!(!SCRIPT.contains(bad) && !STYLE.contains(bad), "{bad}");
        }
        assert!(HeaderValue::from_str(&POLICY).is_ok());
        assert!(!POLICY.contains("unsafe"));
    }
}

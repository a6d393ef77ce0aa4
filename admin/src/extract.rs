//! These extractors read the data of requests strictly: a name in the path, a query, a JSON body.

use std::sync::Arc;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use leasehold_core::LockName;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::problem::Problem;
use crate::state::ApiState;

/// This extracts the name in the path, percent-decoded once and otherwise unchanged.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) LockName);

impl FromRequestParts<Arc<ApiState>> for Name {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<ApiState>,
    ) -> Result<Self, Self::Rejection> {
        check_percent(parts.uri.path())?;
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::malformed(error.to_string()))?;
        Ok(Self(LockName::new(name)?))
    }
}

/// Checks percent encoding: other parsers keep `%zz` as it is, so two paths would have one name.
fn check_percent(text: &str) -> Result<(), Problem> {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'%' && !(hex(bytes.get(at + 1)) && hex(bytes.get(at + 2))) {
            return Err(Problem::malformed("invalid percent encoding; a percent sign is %25"));
        }
    }
    Ok(())
}

/// This extracts the query and refuses unknown parameters.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<ApiState>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Arc<ApiState>,
    ) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        check_percent(query)?;
        check_utf8(query)?;
        serde_urlencoded::from_str(query)
            .map(Self)
            .map_err(|error| Problem::invalid(format!("the query: {error}")))
    }
}

/// Checks UTF-8: other parsers replace invalid UTF-8 by U+FFFD, so many spellings would be one
/// prefix.
fn check_utf8(query: &str) -> Result<(), Problem> {
    let mut bytes = query.bytes();
    let mut decoded = Vec::with_capacity(query.len());
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        decoded.push(match byte {
            b'%' => {
                let value = digit().unwrap_or_default() * 16 + digit().unwrap_or_default();
                u8::try_from(value).unwrap_or_default()
            }
            byte => byte,
        });
    }
    match std::str::from_utf8(&decoded) {
        Ok(_) => Ok(()),
        Err(_) => Err(Problem::malformed("the query is not UTF-8")),
    }
}

/// This extracts a JSON body within the limits of size and time.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<ApiState>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(
        request: Request,
        state: &Arc<ApiState>,
    ) -> Result<Self, Self::Rejection> {
        // A form on a page of another site cannot have this type.
        if !is_json(request.headers()) {
            return Err(Problem::not_json());
        }
        let limits = &state.limits;
        // A body that announces too many bytes is refused without waiting for it.
        if request.body().size_hint().lower() > limits.body_bytes as u64 {
            return Err(Problem::too_large(limits.body_bytes));
        }
        let read = Bytes::from_request(request, state);
        let bytes = match tokio::time::timeout(limits.body_time, read).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Problem::too_large(limits.body_bytes));
            }
            Ok(Err(error)) => return Err(Problem::malformed(error.body_text())),
            Err(_) => return Err(Problem::slow_body()),
        };
        read_object(&bytes).map(Self).map_err(|error| match error.classify() {
            Category::Data => Problem::invalid(format!("the body: {error}")),
            _ => Problem::malformed(format!("the body: {error}")),
        })
    }
}

/// Refuses an array, which serde would accept as the fields of a struct in order.
fn read_object<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return serde_json::from_slice(bytes);
    }
    serde_json::from_slice::<IgnoredAny>(bytes)?;
    Err(serde::de::Error::custom("an object is expected"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// This is a JSON response.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Problem::malformed(error.to_string()).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_percent_encoding_is_refused() {
        for good in ["", "/a", "/%2F%2e", "%25zz"] {
            assert!(check_percent(good).is_ok(), "{good}");
        }
        for bad in ["%", "/a%", "%2", "%zz", "%2G", "%%41"] {
            assert!(check_percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_non_utf8_query_is_refused() {
        assert!(check_utf8("prefix=%C3%A1&after=a+b").is_ok());
        assert!(check_utf8("prefix=%C3").is_err());
    }

    #[test]
    fn only_json_media_types_are_accepted() {
        let json = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(text));
            is_json(&headers)
        };
        assert!(json("application/json") && json("Application/JSON; charset=utf-8"));
        assert!(!json("text/plain; application/json") && !json("application/jsonp"));
        assert!(!is_json(&HeaderMap::new()));
    }
}

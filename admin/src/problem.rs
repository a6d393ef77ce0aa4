//! Errors are RFC 9457 problem details: every response that is not a success has this form.

use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use leasehold_core::{Error, ErrorKind};
use serde::Serialize;

/// A problem says what went wrong. Clients decide by `type` or by the status; the rest is for
/// people.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:leasehold:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Returns the problem of a request that cannot be parsed.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "malformed request", detail)
    }

    /// Returns the problem of a request that can be parsed but has an invalid value.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "invalid value", detail)
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = "send \"Authorization: Bearer TOKEN\" with the token of this server";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "no valid token", detail)
            .header(WWW_AUTHENTICATE, "Bearer realm=\"leasehold\"")
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "not allowed from here", detail)
    }

    pub(crate) fn not_found() -> Self {
        let detail = "no such path; see /openapi.json";
        Self::new(StatusCode::NOT_FOUND, "not-found", "no such path", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "see the Allow header";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "no such method", detail)
    }

    pub(crate) fn slow_body() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "request timeout", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "disabled", "the lock is disabled", detail)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("the limit is {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too large", detail)
    }

    pub(crate) fn not_json() -> Self {
        let detail = "send the body as \"Content-Type: application/json\"";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported-media-type", "the body is not JSON", detail)
    }

    pub(crate) fn too_many_requests() -> Self {
        let detail = "too many requests per second";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "too many requests", detail)
            .header(RETRY_AFTER, "1")
    }

    /// Returns the problem of a request that exceeds a limit on concurrency.
    pub(crate) fn busy(what: &str) -> Self {
        let detail = format!("too many concurrent {what}; try again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too busy", detail)
            .header(RETRY_AFTER, "1")
    }

    /// Returns the problem for callers that must not see the store's error.
    pub(crate) fn not_ready() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store-unavailable",
            "the store does not respond",
            "the store does not respond",
        )
        .header(RETRY_AFTER, "1")
    }

    /// Adds the value of `Allow` that the router found.
    pub(crate) fn allowing(mut self, allow: Option<HeaderValue>) -> Self {
        self.headers.extend(allow.map(|allow| (ALLOW, allow)));
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error.kind() {
            ErrorKind::Invalid => Self::invalid(detail),
            ErrorKind::OutcomeUnknown => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "outcome-unknown",
                "no reply from the store: the change may have happened",
                detail,
            ),
            ErrorKind::Unavailable | ErrorKind::TimedOut => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "the store does not respond, and nothing was written",
                detail,
            )
            .header(RETRY_AFTER, "1"),
            ErrorKind::Denied => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store-denied",
                "the store denied access",
                detail,
            )
            .header(RETRY_AFTER, "30"),
            ErrorKind::Conflict => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "the name is in use as another kind of lock, or its queue is full",
                detail,
            ),
            ErrorKind::Unsupported => Self::new(
                StatusCode::NOT_IMPLEMENTED,
                "unsupported",
                "the store does not support this",
                detail,
            ),
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "store-corrupt",
                "the store has a corrupt record",
                detail,
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut headers: HeaderMap = std::mem::take(&mut self.headers).into_iter().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        (status, headers, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_errors_map_to_http_statuses() {
        for (kind, status, again) in [
            (ErrorKind::Invalid, 422, false),
            (ErrorKind::OutcomeUnknown, 504, false),
            (ErrorKind::Unavailable, 503, true),
            (ErrorKind::TimedOut, 503, true),
            (ErrorKind::Denied, 503, true),
            (ErrorKind::Conflict, 409, false),
            (ErrorKind::Unsupported, 501, false),
            (ErrorKind::Corrupt, 500, false),
        ] {
            let response = Problem::from(Error::new(kind, "x")).into_response();
            assert_eq!(response.status(), status, "{kind}");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), again, "{kind}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }
}

//! The API serves its own description.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// The description is OpenAPI 3.1, written by hand; the tests check it against the running server.
pub(crate) const DOCUMENT: &str = include_str!("../openapi.json");

/// Handles `GET /openapi.json`.
pub(crate) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

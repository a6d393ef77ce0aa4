//! Liveness and readiness, for orchestrators: without a token, and without a word on the store.

use std::sync::Arc;

use axum::extract::State;
use leasehold_core::ListOptions;
use serde_json::json;

use crate::extract::Json;
use crate::problem::Problem;
use crate::state::ApiState;

/// `GET /health/live`: the process answers.
pub(crate) async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// `GET /health/ready`: the store answers too.
pub(crate) async fn ready(
    State(state): State<Arc<ApiState>>,
) -> Result<Json<serde_json::Value>, Problem> {
    let one = ListOptions { limit: 1, ..ListOptions::default() };
    let ask = async { state.client.list_page(&one).await.is_ok() };
    match state.readiness.get_or(ask).await {
        true => Ok(Json(json!({ "status": "ready" }))),
        false => Err(Problem::not_ready()),
    }
}

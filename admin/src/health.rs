//! Liveness and readiness are for orchestrators: they need no token and reveal nothing about the
//! store.

use std::sync::Arc;

use axum::extract::State;
use leasehold_core::ListOptions;
use serde_json::json;

use crate::extract::Json;
use crate::problem::Problem;
use crate::state::ApiState;

/// Handles `GET /health/live`: the process responds.
pub(crate) async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// Handles `GET /health/ready`: the store responds too.
pub(crate) async fn ready(
    State(state): State<Arc<ApiState>>,
) -> Result<Json<serde_json::Value>, Problem> {
    let one = ListOptions::default().with_limit(1);
    let check = async { state.client.list_page(&one).await.is_ok() };
    match state.readiness.get_or(check).await {
        true => Ok(Json(json!({ "status": "ready" }))),
        false => Err(Problem::not_ready()),
    }
}

//! Liveness and readiness, for orchestrators: without a token, and without a word on the store.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use leasehold_core::ListOptions;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::api;
use crate::extract::Json;
use crate::problem::Problem;

/// Whether the store answered, as of a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

/// However many ask, the store is asked no more often than this.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// `GET /health/live`: the process answers.
pub(crate) async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// `GET /health/ready`: the store answers too.
pub(crate) async fn ready(
    State(state): State<Arc<api::State>>,
) -> Result<Json<serde_json::Value>, Problem> {
    let mut last = state.readiness.0.lock().await;
    let known = last.filter(|(at, _)| at.elapsed() < GOOD_FOR).map(|(_, ready)| ready);
    let ready = match known {
        Some(ready) => ready,
        None => {
            let one = ListOptions { limit: 1, ..ListOptions::default() };
            let ready = state.client.list_page(&one).await.is_ok();
            *last = Some((Instant::now(), ready));
            ready
        }
    };
    if ready { Ok(Json(json!({ "status": "ready" }))) } else { Err(Problem::not_ready()) }
}

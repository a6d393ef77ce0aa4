//! These are the two calls of oe-master-job-executor, for its callers, with the path in both
//! spellings, JSON bodies that may have additional fields, and a JSON string as the response.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use leasehold_core::{DisableOutcome, LockName, Reason};
use serde::Deserialize;
use tracing::info;

use crate::extract::{Body, Json};
use crate::problem::Problem;
use crate::state::ApiState;

type Shared = State<Arc<ApiState>>;

/// The original's code has the first spelling, and its manual the second.
const SPELLINGS: [&str; 2] = ["/api/MasterControls", "/api/mastercontrols"];

pub(crate) fn routes() -> Router<Arc<ApiState>> {
    SPELLINGS.into_iter().fold(Router::new(), |router, path| {
        router
            .route(&format!("{path}/disable"), post(disable))
            .route(&format!("{path}/enable"), post(enable))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Disable {
    lock_name: LockName,
    reason: Reason,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Enable {
    lock_name: LockName,
}

async fn disable(
    State(state): Shared,
    Body(Disable { lock_name, reason }): Body<Disable>,
) -> Result<Json<String>, Problem> {
    let _permit = state.gate.write()?;
    let outcome = state.client.disable(&lock_name, &reason).await?;
    info!(lock = %lock_name, %reason, ?outcome, "disable over HTTP");
    Ok(Json(match outcome {
        DisableOutcome::Disabled => format!("Flagged {lock_name} as disabled"),
        DisableOutcome::AlreadyDisabled(_) => format!("{lock_name} is already flagged as disabled"),
    }))
}

async fn enable(
    State(state): Shared,
    Body(Enable { lock_name }): Body<Enable>,
) -> Result<Json<String>, Problem> {
    let _permit = state.gate.write()?;
    let outcome = state.client.enable(&lock_name).await?;
    info!(lock = %lock_name, ?outcome, "enable over HTTP");
    // The original's response is the same if the name was not disabled.
    Ok(Json(format!("{lock_name} is flagged for (re)enablement")))
}

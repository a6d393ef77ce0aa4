//! The resource `instances` lists the running instances and the names that each campaigns for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use leasehold_core::{InstanceRecord, LockName};
use serde::Serialize;

use crate::extract::Json;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::views::{HolderView, millis};

#[derive(Debug, Serialize)]
struct Instances<'a> {
    instances: Vec<InstanceView<'a>>,
}

/// An instance view is an instance as JSON, as it has announced itself.
#[derive(Debug, Serialize)]
struct InstanceView<'a> {
    #[serde(flatten)]
    holder: HolderView<'a>,
    /// The names that the instance campaigns for, in byte order.
    campaigns: &'a [LockName],
    /// The number of further names that it campaigns for.
    unlisted: usize,
    /// The time until the record expires, unless the instance announces itself again.
    left_ms: u64,
}

/// Handles `GET /v1/instances`.
pub(crate) async fn list(State(state): State<Arc<ApiState>>) -> Result<Response, Problem> {
    let _permit = state.gate.read()?;
    let records = state.client.instances().await?;
    let instances = records.iter().map(InstanceView::from).collect();
    Ok(Json(&Instances { instances }).into_response())
}

impl<'a> From<&'a InstanceRecord> for InstanceView<'a> {
    fn from(record: &'a InstanceRecord) -> Self {
        Self {
            holder: HolderView::from(&record.presence.holder),
            campaigns: &record.presence.campaigns,
            unlisted: record.presence.unlisted,
            left_ms: millis(record.left),
        }
    }
}

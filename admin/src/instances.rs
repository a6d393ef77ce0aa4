//! Instances as a resource: who is there, and what each would lead.

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

/// An instance, as it has made itself known.
#[derive(Debug, Serialize)]
struct InstanceView<'a> {
    #[serde(flatten)]
    holder: HolderView<'a>,
    /// In their byte order.
    campaigns: &'a [LockName],
    /// How many more it campaigns for.
    unlisted: usize,
    /// For how much longer it is known if it says nothing more.
    left_ms: u64,
}

/// `GET /v1/instances`
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

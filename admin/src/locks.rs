//! Locks are resources that can be listed, read, disabled, enabled and resigned.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use leasehold_core::{DisableOutcome, EnableOutcome, ListOptions, LockName, Reason, ResignOutcome};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::extract::{Body, Json, Name, Query};
use crate::problem::Problem;
use crate::state::ApiState;
use crate::views::{DisabledView, HolderView, LockView};

type Shared = State<Arc<ApiState>>;
type HandlerResult = Result<Response, Problem>;

/// A page has at most this many locks.
const MAX_PAGE: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    #[serde(default)]
    prefix: String,
    after: Option<LockName>,
    #[serde(default = "default_limit")]
    limit: usize,
}

fn default_limit() -> usize {
    50
}

#[derive(Debug, Serialize)]
struct Locks<'a> {
    locks: Vec<LockView<'a>>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<&'a LockName>,
}

/// Handles `GET /v1/locks`.
pub(crate) async fn list(State(state): Shared, Query(page): Query<Page>) -> HandlerResult {
    check_prefix(&page.prefix)?;
    if !(1..=MAX_PAGE).contains(&page.limit) {
        return Err(Problem::invalid(format!("the query: limit is 1 to {MAX_PAGE}")));
    }
    let _permit = state.gate.read()?;
    // One more than requested shows whether there is another page.
    let options = ListOptions::default()
        .with_prefix(page.prefix)
        .with_after(page.after)
        .with_limit(page.limit.saturating_add(1));
    let mut records = state.client.list_page(&options).await?;
    let more = records.len() > page.limit;
    records.truncate(page.limit);
    let next = records.last().filter(|_| more).map(|record| &record.name);
    json(&Locks { locks: records.iter().map(LockView::from).collect(), next })
}

/// Checks the prefix: one with which no name can start is a mistake.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), Problem> {
    if prefix.is_empty() {
        return Ok(());
    }
    LockName::new(prefix)
        .map(drop)
        .map_err(|_| Problem::invalid("the query: invalid prefix: no lock name can start with it"))
}

/// Handles `GET /v1/locks/{name}`.
pub(crate) async fn get(State(state): Shared, Name(name): Name) -> HandlerResult {
    let _permit = state.gate.read()?;
    json(&LockView::from(&state.client.status(&name).await?))
}

/// The body of `disable` and `resign` has a reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonBody {
    reason: Reason,
}

/// The body of `enable` is an empty object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyBody {}

#[derive(Debug, Serialize)]
struct OutcomeView<'a> {
    name: &'a LockName,
    outcome: &'static str,
    /// For `already_disabled`, the first reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<DisabledView<'a>>,
    /// For `resigning`, the holder that has to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderView<'a>>,
}

impl<'a> OutcomeView<'a> {
    fn new(name: &'a LockName, outcome: &'static str) -> Self {
        Self { name, outcome, disabled: None, holder: None }
    }
}

/// Handles `POST /v1/locks/{name}/disable`.
pub(crate) async fn disable(
    State(state): Shared,
    Name(name): Name,
    body: Body<ReasonBody>,
) -> HandlerResult {
    let _permit = state.gate.write()?;
    let outcome = state.client.disable(&name, &body.0.reason).await?;
    info!(lock = %name, reason = %body.0.reason, ?outcome, "disable over HTTP");
    json(&match &outcome {
        DisableOutcome::Disabled => OutcomeView::new(&name, "disabled"),
        DisableOutcome::AlreadyDisabled(first) => OutcomeView {
            disabled: Some(first.into()),
            ..OutcomeView::new(&name, "already_disabled")
        },
    })
}

/// Handles `POST /v1/locks/{name}/enable`.
pub(crate) async fn enable(
    State(state): Shared,
    Name(name): Name,
    _: Body<EmptyBody>,
) -> HandlerResult {
    let _permit = state.gate.write()?;
    let outcome = state.client.enable(&name).await?;
    info!(lock = %name, ?outcome, "enable over HTTP");
    json(&match outcome {
        EnableOutcome::Enabled => OutcomeView::new(&name, "enabled"),
        EnableOutcome::AlreadyEnabled => OutcomeView::new(&name, "already_enabled"),
    })
}

/// Handles `POST /v1/locks/{name}/resign`.
pub(crate) async fn resign(
    State(state): Shared,
    Name(name): Name,
    body: Body<ReasonBody>,
) -> HandlerResult {
    let _permit = state.gate.write()?;
    let outcome = state.client.resign(&name, &body.0.reason).await?;
    info!(lock = %name, reason = %body.0.reason, ?outcome, "resign over HTTP");
    match &outcome {
        ResignOutcome::Resigning(holder) => json(&OutcomeView {
            holder: Some(holder.into()),
            ..OutcomeView::new(&name, "resigning")
        }),
        ResignOutcome::NotHeld => json(&OutcomeView::new(&name, "not_held")),
        ResignOutcome::Disabled(first) => Err(Problem::conflict(format!(
            "the lock is disabled, so its leader is already stopping: {}",
            first.reason
        ))),
    }
}

fn json(value: &impl Serialize) -> HandlerResult {
    Ok(Json(value).into_response())
}

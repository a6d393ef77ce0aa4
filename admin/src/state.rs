//! The handlers of the API share one state.

use std::sync::Arc;

use leasehold_core::Client;
use tokio_util::sync::CancellationToken;

use crate::Limits;
use crate::limits::Gate;
use crate::lock_poller::LockPoller;
use crate::readiness::Readiness;

/// The state has what all handlers of one router use.
#[derive(Debug)]
pub(crate) struct ApiState {
    pub(crate) client: Client,
    pub(crate) limits: Limits,
    pub(crate) gate: Arc<Gate>,
    pub(crate) poller: Arc<LockPoller>,
    pub(crate) readiness: Readiness,
}

impl ApiState {
    /// Creates the state of one router; cancelling `shutdown` ends its event streams.
    pub(crate) fn new(client: Client, limits: Limits, shutdown: CancellationToken) -> Self {
        Self {
            gate: Arc::new(Gate::new(&limits)),
            poller: LockPoller::new(client.clone(), &limits, shutdown),
            readiness: Readiness::default(),
            client,
            limits,
        }
    }
}

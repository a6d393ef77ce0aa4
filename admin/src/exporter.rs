//! The exporter serves only metrics, for a program that does not serve the whole API.

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};

use crate::limits::Gate;
use crate::problem::Problem;
use crate::{Access, Limits, Metrics, access, api, health, metrics};

/// The exporter serves `GET /metrics` and `GET /health/live`, and nothing else.
#[derive(Clone, Debug)]
pub struct Exporter {
    metrics: Metrics,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
}

impl Exporter {
    /// Creates an exporter of those metrics, for this machine only: see [`Access`].
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, access: Access::default(), limits: Limits::default() }
    }

    /// Sets which callers are accepted.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Sets limits other than the default ones.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the router, to serve alone or mount.
    pub fn router(&self) -> Router {
        let gate = Arc::new(Gate::new(&self.limits));
        let guarded = metrics::route(self.metrics.clone(), gate)
            .fallback(async || Problem::not_found())
            .layer(middleware::from_fn_with_state(self.access.clone(), access::guard));
        let open = Router::new().route("/health/live", get(health::live));
        api::finish(guarded.merge(open), &self.limits)
    }
}

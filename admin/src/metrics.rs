//! This module exports the metrics of the process in the format of Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use leasehold_core::telemetry::METRICS;
use leasehold_core::{Error, ErrorKind, Result};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::limits::Gate;

/// Recorded values are aggregated this often, even without a request, because every value of a
/// histogram takes memory until then.
const UPKEEP: Duration = Duration::from_secs(5);

/// The metrics of the process are kept here for Prometheus to fetch.
///
/// Clones share the same metrics. `docs/reference/metrics.md` describes each metric, and says which
/// values are a concern.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder of this process. Do this before the first
    /// [`Client`](leasehold_core::Client) is created: earlier clients record nothing.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`] if the process already has a recorder.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled, in which a task aggregates the
    /// recorded values for as long as the runtime exists.
    pub fn install() -> Result<Self> {
        let handle = with_buckets(PrometheusBuilder::new())
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|error| {
                Error::new(ErrorKind::Invalid, "cannot install the Prometheus recorder")
                    .with_source(error)
                    .with_fix("install one recorder of metrics in a process")
            })?;
        tokio::spawn({
            let handle = handle.clone();
            async move {
                loop {
                    tokio::time::sleep(UPKEEP).await;
                    handle.run_upkeep();
                }
            }
        });
        Ok(Self(handle))
    }

    /// Returns the present values of all metrics in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics(…)")
    }
}

/// Sets the buckets of histograms. Without them the exporter would show quantiles, which cannot be
/// added up over instances.
fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    METRICS.iter().filter(|metric| !metric.buckets.is_empty()).try_fold(
        builder,
        |builder, metric| {
            builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
        },
    )
}

/// Returns the route `GET /metrics`.
pub(crate) fn route<S: Clone + Send + Sync + 'static>(
    metrics: Metrics,
    gate: Arc<Gate>,
) -> Router<S> {
    let handler = async move || -> Response {
        match gate.read() {
            Ok(_permit) => {
                let text = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
                (text, metrics.render()).into_response()
            }
            Err(problem) => problem.into_response(),
        }
    };
    Router::new().route("/metrics", get(handler))
}

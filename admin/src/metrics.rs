//! What this process measures, in the format of Prometheus.

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

/// How often what was measured is added up, though nobody asks: until then every value of a
/// histogram takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Keeps the metrics of this process, for Prometheus to fetch.
///
/// Clones show the same ones. `docs/reference/metrics.md` has what there is, and what is worrying.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder of this process. Do it before the first
    /// [`Client`](leasehold_core::Client) is made: those made earlier tell nobody.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], when the process has a recorder already.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled, in which a task adds up what was measured for
    /// as long as the runtime lives.
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

    /// All of them now, in the text format of Prometheus.
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

/// Without buckets there would be quantiles, which cannot be added up over instances.
fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    METRICS.iter().filter(|metric| !metric.buckets.is_empty()).try_fold(
        builder,
        |builder, metric| {
            builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
        },
    )
}

/// `GET /metrics`
pub(crate) fn route<S: Clone + Send + Sync + 'static>(
    metrics: Metrics,
    gate: Arc<Gate>,
) -> Router<S> {
    let answer = async move || -> Response {
        match gate.read() {
            Ok(_permit) => {
                let text = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
                (text, metrics.render()).into_response()
            }
            Err(problem) => problem.into_response(),
        }
    };
    Router::new().route("/metrics", get(answer))
}

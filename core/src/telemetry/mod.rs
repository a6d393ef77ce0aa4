//! The engine records metrics through the facade [`metrics`], and spans of [`tracing`].
//!
//! [`METRICS`] has every metric. An application installs a recorder that works with `metrics` 0.24,
//! such as that of `metrics-exporter-prometheus`, **before** it creates its first
//! [`Client`](crate::Client): an earlier client records nothing. Without a recorder the cost is
//! very small.
//!
//! Only metrics of elections, of which an application has few, have the label `lock`; those
//! of [`Lock`](crate::Lock)s never do, because an application may have one for each of a million
//! orders. Durations are by the client's own [`Clock`](crate::Clock), and no decision depends on
//! metrics or spans.
//!
//! # Spans
//!
//! | span | level | fields |
//! |---|---|---|
//! | `term` | info | `lock`, `token`; the job's `start` and `stop` run in it |
//! | `store_call` | debug | `operation`, `lock` (none for a call about many), `store`, and `outcome` once it is known |

mod catalog;
mod client_metrics;
mod election_metrics;
mod handles;
mod queue_metrics;

pub(crate) use catalog::names;
pub use catalog::{METRICS, Metric, MetricKind, describe};
pub(crate) use client_metrics::{ClientMetrics, call_outcome};
pub(crate) use election_metrics::ElectionMetrics;
pub(crate) use handles::GaugeGuard;

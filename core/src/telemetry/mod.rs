//! What the engine tells of itself: metrics, through the facade [`metrics`], and spans of [`tracing`].
//!
//! [`METRICS`] has every metric. An application installs a recorder that works with `metrics` 0.24,
//! such as that of `metrics-exporter-prometheus`, **before** it makes its first
//! [`Client`](crate::Client): what was made earlier has nobody to tell. Without a recorder the
//! cost is next to nothing.
//!
//! A metric is told apart by `lock` only where it is about elections, of which an application
//! has a few; never for [`Lock`](crate::Lock)s, of which it may have one for each of a million
//! orders. Durations are by the client's own [`Clock`](crate::Clock), and no decision depends on
//! any of this.
//!
//! # Spans
//!
//! | span | level | fields |
//! |---|---|---|
//! | `term` | info | `lock`, `token`; the job's `start` and `stop` run in it |
//! | `store_call` | debug | `operation`, `lock` (none for a call about many), `store`, and `outcome` once it is known |

mod catalog;
mod meters;

pub(crate) use catalog::names;
pub use catalog::{METRICS, Metric, MetricKind, describe};
pub(crate) use meters::{ClientMetrics, ElectionMetrics, GaugeGuard, call_outcome};

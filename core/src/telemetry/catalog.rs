//! The catalog lists every metric with its name, unit, labels and meaning.

use metrics::{Unit, with_recorder};

/// A metric is described by its name, kind, unit, labels and meaning.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// The metric has this name, in the form that Prometheus recommends.
    pub name: &'static str,
    /// Its values are of this kind.
    pub kind: MetricKind,
    /// Its values have this unit.
    pub unit: Unit,
    /// Its values have these labels.
    pub labels: &'static [&'static str],
    /// This sentence tells people what it means.
    pub help: &'static str,
    /// A histogram's buckets have these upper bounds. An exporter without bounds may show quantiles
    /// instead, which cannot be added up over instances.
    pub buckets: &'static [f64],
}

/// A metric has one of these kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A counter only grows.
    Counter,
    /// A gauge rises and falls.
    Gauge,
    /// A histogram shows how values are distributed.
    Histogram,
}

/// The recording code uses these names of the metrics.
pub(crate) mod names {
    pub(crate) const LEADING: &str = "leasehold_leading";
    pub(crate) const DISABLED: &str = "leasehold_disabled";
    pub(crate) const TERMS: &str = "leasehold_terms_total";
    pub(crate) const TERMS_ENDED: &str = "leasehold_terms_ended_total";
    pub(crate) const TAKEOVERS: &str = "leasehold_takeovers_total";
    pub(crate) const OVERRUNS: &str = "leasehold_term_overruns_total";
    pub(crate) const LOCKS_HELD: &str = "leasehold_locks_held";
    pub(crate) const LOCKS_LOST: &str = "leasehold_locks_lost_total";
    pub(crate) const WAITING: &str = "leasehold_acquires_waiting";
    pub(crate) const WAIT: &str = "leasehold_acquire_wait_seconds";
    pub(crate) const QUEUE_WAIT: &str = "leasehold_queue_wait_seconds";
    pub(crate) const QUEUE_AHEAD: &str = "leasehold_queue_entries_ahead";
    pub(crate) const RENEWALS: &str = "leasehold_renewals_total";
    pub(crate) const RENEWAL_TIME_TO_DEADLINE: &str = "leasehold_renewal_time_to_deadline_seconds";
    pub(crate) const CALLS: &str = "leasehold_store_calls_total";
    pub(crate) const CALL: &str = "leasehold_store_call_seconds";
}

/// These bounds are for calls that take milliseconds, and at most 10 s.
const CALL_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// These bounds are for the time that is left of a lease: they are fine where seconds matter.
const REMAINING_BUCKETS: &[f64] =
    &[0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 12.5, 15.0, 20.0, 30.0, 60.0, 300.0];

/// These bounds are for a wait that may take no time or hours.
const WAIT_BUCKETS: &[f64] =
    &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0];

/// These bounds are for the length of a queue, which has at most 256 entries.
const QUEUE_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Counter, unit: Unit::Count, labels, help, buckets: &[] }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, unit: Unit::Count, labels, help, buckets: &[] }
}

const fn seconds(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    buckets: &'static [f64],
) -> Metric {
    Metric { name, kind: MetricKind::Histogram, unit: Unit::Seconds, labels, help, buckets }
}

/// This list has every metric, in the order of `docs/reference/metrics.md`.
pub const METRICS: &[Metric] = &[
    gauge(
        names::LEADING,
        &["lock"],
        "Elections of this process that lead: 1 from the start of a term until its job has \
         stopped, 0 for a candidate.",
    ),
    gauge(
        names::DISABLED,
        &["lock"],
        "Elections of this process that found their name disabled at their latest attempt.",
    ),
    counter(names::TERMS, &["lock"], "Terms started by this process."),
    counter(
        names::TERMS_ENDED,
        &["lock", "reason"],
        "Terms whose job was asked to stop: resigned (by the instance itself), shut_down, disabled \
         (also when an operator has the leader resign), finished (the work is done), failed (the \
         job's start), lost, stale (a newer term has raised the fence) or heartbeats_failed.",
    ),
    counter(
        names::TAKEOVERS,
        &["lock"],
        "Terms that began after another instance was seen to hold the name: this instance took \
         over after a release or a crash.",
    ),
    counter(
        names::OVERRUNS,
        &["lock"],
        "Terms whose job did not stop within its grace and was aborted.",
    ),
    gauge(names::LOCKS_HELD, &[], "Locks held by guards and renewed by heartbeats."),
    counter(
        names::LOCKS_LOST,
        &["reason"],
        "Locks lost while a guard held them, by reason: expired, gone or disabled.",
    ),
    gauge(names::WAITING, &[], "Calls that wait for a lock of any kind."),
    seconds(
        names::WAIT,
        &["outcome"],
        "Duration of calls to Lock::acquire, by outcome: acquired, timed_out, failed or cancelled.",
        WAIT_BUCKETS,
    ),
    seconds(
        names::QUEUE_WAIT,
        &["kind", "outcome"],
        "Duration of calls that wait for a lock with a queue, by its kind: fair, semaphore or \
         reader_writer; and by outcome: acquired, timed_out, failed or cancelled.",
        WAIT_BUCKETS,
    ),
    Metric {
        name: names::QUEUE_AHEAD,
        kind: MetricKind::Histogram,
        unit: Unit::Count,
        labels: &["kind"],
        help: "Entries ahead of one that has to wait when it enters a queue, those of holders \
               included, by kind: fair, semaphore, reader_writer or leaders.",
        buckets: QUEUE_BUCKETS,
    },
    counter(
        names::RENEWALS,
        &["outcome"],
        "Renewals of single leases, of elections, guards and waiting entries, by outcome: \
         extended, queued (the entry waits), lost, disabled or failed (no reply).",
    ),
    seconds(
        names::RENEWAL_TIME_TO_DEADLINE,
        &[],
        "Time to the trust deadline when a renewal was confirmed.",
        REMAINING_BUCKETS,
    ),
    counter(
        names::CALLS,
        &["operation", "outcome"],
        "Completed calls to the store: ok, or the kind of the error.",
    ),
    seconds(
        names::CALL,
        &["operation"],
        "Duration of calls to the store, including failed ones.",
        CALL_BUCKETS,
    ),
];

/// Describes every metric, with its unit, to the installed recorder.
///
/// A [`Client`](crate::Client) does so when it is created.
pub fn describe() {
    with_recorder(|recorder| {
        for metric in METRICS {
            let describe = match metric.kind {
                MetricKind::Counter => metrics::Recorder::describe_counter,
                MetricKind::Gauge => metrics::Recorder::describe_gauge,
                MetricKind::Histogram => metrics::Recorder::describe_histogram,
            };
            describe(recorder, metric.name.into(), Some(metric.unit), metric.help.into());
        }
    });
}

//! The engine records the metrics of an election through this type.

use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};

use super::handles::{GaugeGuard, PerLabel};
use super::names;
use crate::{LockName, StopReason};

/// These are the metrics of one election.
#[derive(Debug)]
pub(crate) struct ElectionMetrics {
    leading: Gauge,
    disabled: Gauge,
    is_disabled: Option<GaugeGuard>,
    /// Another instance held the name when its holder was last seen.
    others: bool,
    terms: Counter,
    ended: PerLabel<Counter>,
    takeovers: Counter,
    overruns: Counter,
}

impl ElectionMetrics {
    /// Creates the metrics with the recorder that is installed now.
    pub(crate) fn new(lock: &LockName) -> Self {
        let lock: Arc<str> = lock.as_str().into();
        let reasons = [
            "resigned",
            "shut_down",
            "disabled",
            "finished",
            "failed",
            "stale",
            "lost",
            "heartbeats_failed",
        ];
        Self {
            leading: gauge!(names::LEADING, "lock" => lock.clone()),
            disabled: gauge!(names::DISABLED, "lock" => lock.clone()),
            is_disabled: None,
            others: false,
            terms: counter!(names::TERMS, "lock" => lock.clone()),
            ended: PerLabel::new(
                reasons,
                |reason| counter!(names::TERMS_ENDED, "lock" => lock.clone(), "reason" => reason),
            ),
            takeovers: counter!(names::TAKEOVERS, "lock" => lock.clone()),
            overruns: counter!(names::OVERRUNS, "lock" => lock.clone()),
        }
    }

    /// Records that another instance holds the name.
    pub(crate) fn saw_other_leader(&mut self) {
        self.others = true;
    }

    /// Records whether the latest attempt found the name disabled.
    pub(crate) fn saw_disabled(&mut self, disabled: bool) {
        match (disabled, &self.is_disabled) {
            (true, None) => self.is_disabled = Some(GaugeGuard::new(&self.disabled)),
            (false, Some(_)) => self.is_disabled = None,
            _ => {}
        }
    }

    /// Records that a term begins; it lasts until the returned guard is dropped.
    pub(crate) fn term_started(&mut self) -> GaugeGuard {
        self.terms.increment(1);
        if std::mem::take(&mut self.others) {
            self.takeovers.increment(1);
        }
        GaugeGuard::new(&self.leading)
    }

    /// Records that the job is asked to stop.
    pub(crate) fn term_stopping(&self, reason: &StopReason) {
        let reason = match reason {
            StopReason::Resigned => "resigned",
            StopReason::ShutDown => "shut_down",
            StopReason::Disabled { .. } => "disabled",
            StopReason::Finished => "finished",
            StopReason::Failed { .. } => "failed",
            StopReason::Stale => "stale",
            StopReason::Lost => "lost",
            StopReason::HeartbeatsFailed => "heartbeats_failed",
        };
        self.ended.with(reason, |counter| counter.increment(1));
    }

    /// Records that the job did not stop in time.
    pub(crate) fn stop_timed_out(&self) {
        self.overruns.increment(1);
    }
}

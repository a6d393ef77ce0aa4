//! An outage of the store is logged in two lines: one when it begins, and one when it ends.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tracing::{debug, info, warn};

use crate::{Error, ErrorKind, Moment};

/// Tracks the failing calls of one client, so that the log reports each outage once.
#[derive(Debug)]
pub(crate) struct Outages {
    store: Arc<str>,
    current: Mutex<Vec<Outage>>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    failure: FailureClass,
    since: Moment,
    last: Moment,
    failures: u64,
}

/// Failures of one class are reported as one outage. A missing privilege for one operation must not
/// keep an unavailable store out of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureClass {
    /// The store does not respond to any operation.
    NoReply,
    /// One operation fails in one way.
    Kind(Option<&'static str>, ErrorKind),
}

impl FailureClass {
    fn of(error: &Error) -> Self {
        if error.is_transient() {
            Self::NoReply
        } else {
            Self::Kind(error.operation(), error.kind())
        }
    }
}

impl Outages {
    /// An outage ends at the first reply after this long without a failure. Otherwise every call to
    /// a store that answers some calls and fails others would be logged.
    const QUIET_PERIOD: Duration = Duration::from_secs(10);

    pub(crate) fn new(store: Arc<str>) -> Self {
        Self { store, current: Mutex::default() }
    }

    /// Records that a call failed.
    pub(crate) fn record_failure(&self, error: &Error, now: Moment) {
        use ErrorKind::{Conflict, Invalid, Unsupported};
        if matches!(error.kind(), Conflict | Invalid | Unsupported) {
            // The store itself works.
            return;
        }
        let failure = FailureClass::of(error);
        let mut current = self.current();
        let known = current.iter_mut().find(|outage| outage.failure == failure);
        let first = known.is_none();
        match known {
            Some(outage) => {
                outage.last = now;
                outage.failures += 1;
            }
            None => current.push(Outage { failure, since: now, last: now, failures: 1 }),
        }
        drop(current);
        if first {
            warn!(
                %error,
                "store calls are failing; further failures of this kind are logged at debug level"
            );
        } else {
            debug!(%error, "store call failed");
        }
    }

    /// Records that a call of that operation succeeded.
    pub(crate) fn record_success(&self, operation: &'static str, now: Moment) {
        let concerns = |failure| match failure {
            FailureClass::NoReply => true,
            // The success of another operation does not end it.
            FailureClass::Kind(failed, _) => failed == Some(operation),
        };
        let has_ended = |outage: &mut Outage| {
            concerns(outage.failure) && now.saturating_since(outage.last) >= Self::QUIET_PERIOD
        };
        let ended: Vec<_> = self.current().extract_if(.., has_ended).collect();
        for Outage { failure, since, last, failures } in ended {
            let (store, lasted) = (&*self.store, last.saturating_since(since));
            match failure {
                FailureClass::NoReply => {
                    info!(store, failures, ?lasted, "the store responds again");
                }
                FailureClass::Kind(operation, kind) => {
                    info!(store, operation, ?kind, failures, ?lasted, "store calls succeed again");
                }
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Vec<Outage>> {
        self.current.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn failures(outages: &Outages) -> Option<u64> {
        outages.current().first().map(|outage| outage.failures)
    }

    #[test]
    fn replies_between_failures_do_not_end_an_outage() {
        let outages = Outages::new("store:".into());
        let error = Error::new(ErrorKind::Unavailable, "connection refused");
        for secs in 0..30 {
            outages.record_failure(&error, at(secs));
            outages.record_success("renew", at(secs));
        }
        assert_eq!(failures(&outages), Some(30));
        outages.record_success("renew", at(38));
        assert_eq!(failures(&outages), Some(30));
        outages.record_success("renew", at(39));
        assert_eq!(failures(&outages), None);
    }

    #[test]
    fn an_operation_that_is_refused_does_not_count_as_an_outage() {
        let outages = Outages::new("store:".into());
        for kind in [ErrorKind::Unsupported, ErrorKind::Conflict] {
            outages.record_failure(&Error::new(kind, "no instance records"), at(1));
            assert_eq!(failures(&outages), None);
        }
    }

    #[test]
    fn a_permission_error_does_not_hide_an_outage() {
        let outages = Outages::new("store:".into());
        let denied = Error::new(ErrorKind::Denied, "missing privilege").during("announce");
        let refused = Error::new(ErrorKind::Unavailable, "connection refused").during("renew");
        for error in [&denied, &refused, &denied] {
            outages.record_failure(error, at(1));
        }
        let counts: Vec<_> = outages.current().iter().map(|outage| outage.failures).collect();
        assert_eq!(counts, [2, 1]);
        outages.record_success("renew", at(100));
        let left: Vec<_> = outages.current().iter().map(|outage| outage.failure).collect();
        assert_eq!(left, [FailureClass::Kind(Some("announce"), ErrorKind::Denied)]);
    }
}

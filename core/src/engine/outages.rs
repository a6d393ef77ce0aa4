//! Keeps the log short while a store fails: one line when an outage begins, and one when it is
//! over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::{Error, ErrorKind, Moment};

/// Tracks the failing calls of one client, so that the log reports each outage once.
#[derive(Debug)]
pub(crate) struct Outages {
    store: Arc<str>,
    current: Mutex<Option<Outage>>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Moment,
    last: Moment,
    failures: u64,
}

impl Outages {
    /// An outage is over at the first answer after this long without a failure. Otherwise a store
    /// that answers some calls and fails others would be logged at each of them.
    const CALM: Duration = Duration::from_secs(10);

    pub(crate) fn new(store: Arc<str>) -> Self {
        Self { store, current: Mutex::default() }
    }

    /// A call failed.
    pub(crate) fn failed(&self, error: &Error, now: Moment) {
        if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) {
            // The store itself works.
            return;
        }
        let mut current = self.current();
        let outage = current.get_or_insert(Outage { since: now, last: now, failures: 0 });
        outage.last = now;
        outage.failures += 1;
        let first = outage.failures == 1;
        drop(current);
        if first {
            warn!(%error, "the store fails: calls are retried, and further failures are logged at debug");
        } else {
            debug!(%error, "the store fails");
        }
    }

    /// A call was answered.
    pub(crate) fn answered(&self, now: Moment) {
        let mut current = self.current();
        let over = current.take_if(|outage| now.saturating_since(outage.last) >= Self::CALM);
        drop(current);
        if let Some(Outage { since, last, failures }) = over {
            let lasted = last.saturating_since(since);
            info!(store = &*self.store, failures, ?lasted, "the store answers again");
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Outage>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn failures(outages: &Outages) -> Option<u64> {
        outages.current().map(|outage| outage.failures)
    }

    #[test]
    fn answers_between_failures_do_not_end_an_outage() {
        let outages = Outages::new("store:".into());
        let error = Error::new(ErrorKind::Unavailable, "away");
        for secs in 0..30 {
            outages.failed(&error, at(secs));
            outages.answered(at(secs));
        }
        assert_eq!(failures(&outages), Some(30));
        outages.answered(at(38));
        assert_eq!(failures(&outages), Some(30));
        outages.answered(at(39));
        assert_eq!(failures(&outages), None);
    }

    #[test]
    fn an_unsupported_operation_is_no_outage() {
        let outages = Outages::new("store:".into());
        outages.failed(&Error::new(ErrorKind::Unsupported, "no records of instances"), at(1));
        assert_eq!(failures(&outages), None);
    }
}

//! A batch of renewals or releases that contains each lease once.

use crate::{
    Error, ErrorKind, LeaseId, LockName, ReleaseOptions, RenewOptions, RenewOutcome, Result,
};

/// An item of a batch concerns one lease.
pub(super) trait OfLease {
    /// Returns the name and the id of the lease.
    fn lease(&self) -> (&LockName, LeaseId);
}

impl OfLease for RenewOptions {
    fn lease(&self) -> (&LockName, LeaseId) {
        (&self.name, self.lease)
    }
}

impl OfLease for ReleaseOptions {
    fn lease(&self) -> (&LockName, LeaseId) {
        (&self.name, self.lease)
    }
}

/// The leases of a batch, in the order of names and ids, so that batches lock rows in one order.
pub(super) struct Batch<'a, T> {
    pub(super) leases: Vec<&'a T>,
    /// For each requested lease, its index in `leases`; `None` if they are the same.
    indexes: Option<Vec<usize>>,
}

impl<'a, T: OfLease> Batch<'a, T> {
    /// Merges duplicates: the last one applies, and each duplicate gets the same outcome.
    pub(super) fn new(requested: &'a [T]) -> Self {
        // The heartbeat's batches are in order already.
        if requested.is_sorted_by(|one, next| one.lease() < next.lease()) {
            return Self { leases: requested.iter().collect(), indexes: None };
        }
        let mut order: Vec<usize> = (0..requested.len()).collect();
        order.sort_by_key(|at| requested[*at].lease());
        let (mut leases, mut indexes) = (Vec::<&T>::new(), vec![0; requested.len()]);
        for at in order {
            let next = &requested[at];
            match leases.last_mut() {
                Some(last) if last.lease() == next.lease() => *last = next,
                _ => leases.push(next),
            }
            indexes[at] = leases.len() - 1;
        }
        Self { leases, indexes: Some(indexes) }
    }

    /// Checks that there is one result for each lease of the batch.
    fn check<R>(&self, results: &[R]) -> Result<()> {
        if results.len() == self.leases.len() {
            return Ok(());
        }
        let message = format!("{} leases have {} outcomes", self.leases.len(), results.len());
        Err(Error::new(ErrorKind::OutcomeUnknown, message))
    }

    /// Returns the result of each requested lease.
    pub(super) fn requested<R: Clone>(self, results: Vec<R>) -> Result<Vec<R>> {
        self.check(&results)?;
        let Some(indexes) = self.indexes else { return Ok(results) };
        Ok(indexes.into_iter().map(|index| results[index].clone()).collect())
    }
}

impl Batch<'_, RenewOptions> {
    /// Returns the outcome of each requested lease.
    ///
    /// The outcome of a lease with an error is [`Unknown`](RenewOutcome::Unknown). If every lease
    /// has an error, the batch fails with the first one that is not about a corrupt record.
    pub(super) fn outcomes(self, results: Vec<Result<RenewOutcome>>) -> Result<Vec<RenewOutcome>> {
        self.check(&results)?;
        let mut errors = results.iter().filter_map(|result| result.as_ref().err());
        if results.iter().all(Result::is_err)
            && let Some(error) = errors.find(|error| error.kind() != ErrorKind::Corrupt)
        {
            return Err(error.clone());
        }
        let outcomes: Vec<_> = results
            .into_iter()
            .zip(&self.leases)
            .map(|(result, lease)| result.unwrap_or_else(|error| unknown(error, lease)))
            .collect();
        self.requested(outcomes)
    }
}

fn unknown(error: Error, lease: &RenewOptions) -> RenewOutcome {
    if error.kind() == ErrorKind::Corrupt {
        let error = error.clone().for_lock(&lease.name);
        tracing::error!(%error, "cannot renew a lease");
    }
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        why = format!("{why}: {source}");
        cause = source.source();
    }
    RenewOutcome::unknown(why)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{LeaseId, LockName};

    fn lease(name: &str, id: LeaseId, secs: u64) -> RenewOptions {
        let name = LockName::new(name).unwrap();
        RenewOptions::new(name, id, Duration::from_secs(secs))
    }

    fn extended(secs: u64) -> Result<RenewOutcome> {
        Ok(RenewOutcome::extended(Duration::from_secs(secs)))
    }

    fn failed(kind: ErrorKind) -> Result<RenewOutcome> {
        Err(Error::new(kind, "it failed"))
    }

    #[test]
    fn a_lease_that_is_requested_twice_is_renewed_once() {
        let mut ids = [LeaseId::new(), LeaseId::new()];
        ids.sort_unstable();
        let [one, two] = ids;
        let requested =
            [lease("b", one, 1), lease("a", two, 2), lease("b", one, 3), lease("b", two, 4)];
        let batch = Batch::new(&requested);
        let ttls: Vec<_> = batch.leases.iter().map(|lease| lease.ttl.as_secs()).collect();
        assert_eq!(ttls, [2, 3, 4]);
        let outcomes = batch.outcomes(vec![extended(2), extended(3), extended(4)]).unwrap();
        let left = outcomes.iter().map(|outcome| match outcome {
            RenewOutcome::Extended { left, .. } => left.as_secs(),
            other => panic!("{other:?}"),
        });
        assert_eq!(left.collect::<Vec<_>>(), [3, 2, 3, 4]);
    }

    #[test]
    fn a_lease_that_is_released_twice_gets_one_outcome() {
        let release =
            |name: &str| ReleaseOptions::new(LockName::new(name).unwrap(), LeaseId::new());
        let (a, b) = (release("a"), release("b"));
        let requested = [b.clone(), a.clone(), b];
        let batch = Batch::new(&requested);
        assert_eq!(batch.leases, [&a, &requested[0]]);
        assert_eq!(batch.requested(vec![1, 2]).unwrap(), [2, 1, 2]);
        assert!(Batch::new(&requested).requested(vec![1]).unwrap_err().is_outcome_unknown());
    }

    #[test]
    fn the_results_of_a_batch_in_order_are_those_of_its_leases() {
        let requested = ["a", "b", "c"].map(|name| lease(name, LeaseId::new(), 1));
        assert_eq!(Batch::new(&requested).requested(vec![1, 2, 3]).unwrap(), [1, 2, 3]);
        assert!(Batch::new(&requested).requested(vec![1, 2]).unwrap_err().is_outcome_unknown());
        // A lease that is requested twice in a row is in order, too, and is still renewed once.
        let twice = [&requested[0], &requested[0], &requested[1]].map(RenewOptions::clone);
        assert_eq!(Batch::new(&twice).requested(vec![1, 2]).unwrap(), [1, 1, 2]);
    }

    #[test]
    fn a_failure_concerns_only_its_own_lease() {
        let requested = [lease("a", LeaseId::new(), 1), lease("b", LeaseId::new(), 1)];
        let batch = || Batch::new(&requested);
        let outcomes = batch().outcomes(vec![failed(ErrorKind::Unavailable), extended(1)]).unwrap();
        assert!(matches!(outcomes[0], RenewOutcome::Unknown { .. }));
        let both = |first, second| batch().outcomes(vec![failed(first), failed(second)]);
        let outcomes = both(ErrorKind::Corrupt, ErrorKind::Corrupt).unwrap();
        assert!(outcomes.iter().all(|it| matches!(it, RenewOutcome::Unknown { .. })));
        let error = both(ErrorKind::Corrupt, ErrorKind::Unavailable).unwrap_err();
        assert!(error.is_unavailable());
        let error = batch().outcomes(vec![extended(1)]).unwrap_err();
        assert!(error.is_outcome_unknown());
    }
}

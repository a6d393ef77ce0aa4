//! Sends a batch of renewals, in which some leases may be those of entries in queues.

use futures_util::future::join;

use super::backend::Backend;
use crate::{Error, ErrorKind, RenewOptions, RenewOutcome, Result};

type Results = Vec<Result<RenewOutcome>>;

/// Renews the leases of a batch that is not empty, with one result each in the same order.
///
/// Leases and entries are renewed at the same time, by one call each. If one of the calls fails,
/// only its own renewals do.
pub(super) async fn send<B: Backend>(backend: &B, batch: &[&RenewOptions]) -> Result<Results> {
    if batch.iter().all(|renewal| !renewal.entry) {
        return backend.renew(batch).await;
    }
    let (entries, leases): (Vec<&RenewOptions>, Vec<&RenewOptions>) =
        batch.iter().copied().partition(|renewal| renewal.entry);
    if leases.is_empty() {
        return backend.renew_entries(&entries).await;
    }
    let (of_leases, of_entries) =
        join(backend.renew(&leases), backend.renew_entries(&entries)).await;
    let mut of_leases = one_each(of_leases, leases.len()).into_iter();
    let mut of_entries = one_each(of_entries, entries.len()).into_iter();
    let in_order = batch
        .iter()
        .filter_map(|renewal| if renewal.entry { of_entries.next() } else { of_leases.next() });
    Ok(in_order.collect())
}

/// Returns one result for each of that many renewals, which fail if their call did.
fn one_each(results: Result<Results>, count: usize) -> Results {
    let found = match results {
        Ok(results) if results.len() == count => return results,
        Ok(results) => results.len(),
        Err(error) => return vec![Err(error); count],
    };
    let message = format!("{count} leases have {found} outcomes");
    vec![Err(Error::new(ErrorKind::OutcomeUnknown, message)); count]
}

#[cfg(test)]
mod tests;

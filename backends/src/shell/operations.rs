//! The parts of the operations that are the same for every datastore.

use std::time::Duration;

use super::attempts::Attempts;
use super::backend::Backend;
use super::batch::Batch;
use super::data::{Decision, Entry, Page};
use super::outcome::acquire_outcome;
use super::{presence, renewals};
use crate::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnterOptions, Error,
    InstanceRecord, LeaseId, ListOptions, LockName, LockRecord, Presence, PruneOptions,
    ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

fn check_ttl<B: Backend>(backend: &B, ttl: Duration) -> Result<()> {
    crate::check_ttl(ttl, &backend.capabilities())
}

/// Refuses the nil UUID, by which records say that the name has a queue.
fn check_lease(lease: LeaseId) -> Result<()> {
    if lease.as_uuid().is_nil() {
        return Err(Error::invalid("the nil UUID is not a valid lease id")
            .with_fix("use a new id for each attempt"));
    }
    Ok(())
}

pub(super) async fn acquire<B: Backend>(
    backend: &B,
    name: &LockName,
    options: &AcquireOptions,
) -> Result<AcquireOutcome> {
    check_lease(options.lease)?;
    check_ttl(backend, options.ttl)?;
    let mut attempts = Attempts::new();
    loop {
        let attempt = attempts.next().await?;
        let outcome = match backend.acquire(name, options, attempt).await? {
            Decision::Done(grant) => Some(AcquireOutcome::Granted(grant)),
            Decision::Refused(record) => acquire_outcome(record, options.lease)?,
            Decision::Changed => None,
        };
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
    }
}

pub(super) async fn enter<B: Backend>(
    backend: &B,
    name: &LockName,
    options: &EnterOptions,
) -> Result<AcquireOutcome> {
    check_lease(options.lease)?;
    check_ttl(backend, options.ttl)?;
    options.check()?;
    let mut attempts = Attempts::new();
    loop {
        let attempt = attempts.next().await?;
        let Some(record) = backend.enter(name, options, attempt).await? else { continue };
        if let Some(outcome) = record.enter_outcome(options)? {
            return Ok(outcome);
        }
    }
}

pub(super) async fn renew<B: Backend>(
    backend: &B,
    leases: &[RenewOptions],
) -> Result<Vec<RenewOutcome>> {
    let capabilities = backend.capabilities();
    for RenewOptions { name, ttl, lease, .. } in leases {
        let checked = check_lease(*lease).and_then(|()| crate::check_ttl(*ttl, &capabilities));
        checked.map_err(|error| error.for_lock(name))?;
    }
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let batch = Batch::new(leases);
    let results = renewals::send(backend, &batch.leases).await?;
    batch.outcomes(results)
}

pub(super) async fn release<B: Backend>(
    backend: &B,
    name: &LockName,
    lease: LeaseId,
) -> Result<ReleaseOutcome> {
    check_lease(lease)?;
    backend.release(name, lease).await
}

/// Releases leases in one call; `None` means that the backend releases one at a time.
pub(super) async fn release_many<B: Backend>(
    backend: &B,
    leases: &[ReleaseOptions],
) -> Result<Option<Vec<Result<ReleaseOutcome>>>> {
    if leases.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if leases.iter().any(|lease| check_lease(lease.lease).is_err()) {
        // One at a time, the invalid one fails alone.
        return Ok(None);
    }
    let batch = Batch::new(leases);
    match backend.release_many(&batch.leases).await? {
        Some(results) => batch.requested(results).map(Some),
        None => Ok(None),
    }
}

pub(super) async fn disable<B: Backend>(
    backend: &B,
    name: &LockName,
    options: &DisableOptions,
) -> Result<DisableOutcome> {
    let mut attempts = Attempts::new();
    loop {
        let attempt = attempts.next().await?;
        match backend.disable(name, options, attempt).await? {
            Decision::Done(()) => return Ok(DisableOutcome::Disabled),
            Decision::Refused(LockRecord { disabled: Some(disabled), .. }) => {
                return Ok(DisableOutcome::AlreadyDisabled(disabled));
            }
            Decision::Refused(_) | Decision::Changed => {}
        }
    }
}

pub(super) async fn get<B: Backend>(backend: &B, name: &LockName) -> Result<Option<LockRecord>> {
    Ok(backend.read(name).await?.map(|entry| match entry {
        Entry::Record(record) => record,
        Entry::Corrupt { error, .. } => LockRecord::unreadable(name.clone(), &error),
    }))
}

pub(super) async fn list<B: Backend>(
    backend: &B,
    options: &ListOptions,
) -> Result<Vec<LockRecord>> {
    let mut records = Vec::new();
    // No name has a NUL character, and some servers would refuse the text.
    if options.prefix.contains('\0') {
        return Ok(records);
    }
    let mut after = options.after.as_ref().map(bytes);
    while records.len() < options.limit {
        let limit = options.limit - records.len();
        let page = Page { prefix: &options.prefix, after: after.as_deref(), limit };
        let found = backend.page(&page).await?;
        // A record without a readable name is omitted, and another one takes its place.
        records.extend(found.entries.into_iter().filter_map(|entry| listed(backend, entry)));
        if found.next.is_none() || found.next == after {
            break;
        }
        after = found.next;
    }
    Ok(records)
}

fn listed<B: Backend>(backend: &B, entry: Entry) -> Option<LockRecord> {
    match entry {
        Entry::Record(record) => Some(record),
        Entry::Corrupt { name: Some(name), error } => Some(LockRecord::unreadable(name, &error)),
        Entry::Corrupt { name: None, error } => {
            let error = error.during("list").on_store(backend.label());
            tracing::error!(%error, "a record without a readable name is not listed");
            None
        }
    }
}

pub(super) async fn prune<B: Backend>(
    backend: &B,
    options: &PruneOptions,
) -> Result<Vec<LockName>> {
    let mut names = Vec::new();
    let mut after = options.after.as_ref().map(bytes);
    while names.len() < options.limit {
        let limit = options.limit - names.len();
        let page = Page { prefix: "", after: after.as_deref(), limit };
        let found = backend.prune_page(&page, options.unused_for, options.dry_run).await?;
        names.extend(found.entries);
        if found.next.is_none() || found.next == after {
            break;
        }
        after = found.next;
    }
    Ok(names)
}

pub(super) async fn announce<B: Backend>(
    backend: &B,
    presence: &Presence,
    ttl: Duration,
) -> Result<()> {
    check_ttl(backend, ttl)?;
    let text = presence::encode(presence)?;
    backend.announce(presence.holder.instance, &text, ttl).await
}

pub(super) async fn instances<B: Backend>(backend: &B) -> Result<Vec<InstanceRecord>> {
    Ok(presence::readable(backend.instances().await?, backend.label()))
}

fn bytes(name: &LockName) -> Vec<u8> {
    name.as_str().as_bytes().to_vec()
}

//! Puts the keys of a lock, attached to an etcd lease.
//!
//! If one is kept from an earlier attempt or lock, it is kept alive in the same round trip, which
//! writes nothing. A new one costs every member a write, before the keys can be put.

use std::pin::pin;
use std::time::Duration;

use etcd_client::{Txn, TxnResponse};
use tokio::time::timeout;

use super::client::{BoundedCall, EtcdClient};
use super::error_codes::IS_IT_UP;
use super::keys::Keys;
use super::lease_id::seconds;
use super::lease_pool::EtcdLease;
use super::limits::STALL_TIMEOUT;
use super::transaction;
use crate::{AcquireOptions, Clock, Error, ErrorKind, LockName, Result, SystemClock};

/// An attempt that etcd has decided.
pub(super) struct DecidedAttempt {
    pub(super) response: TxnResponse,
    /// The etcd lease to which the keys are attached if the attempt succeeded.
    pub(super) lease: EtcdLease,
    /// This is false if the etcd lease may end earlier than its ttl after the start of the call.
    pub(super) is_extended: bool,
}

/// Tries to put the keys of a lock. Returns `None` if the new etcd lease has already expired.
pub(super) async fn put_keys(
    client: &EtcdClient,
    call: &BoundedCall,
    keys: &Keys,
    name: &LockName,
    options: &AcquireOptions,
) -> Result<Option<DecidedAttempt>> {
    let seconds = seconds(options.ttl);
    if let Some(kept) = client.leases().take(seconds, SystemClock.now()) {
        let put = transaction::grant(keys, name, options, kept.id);
        if let Some(decided) = put_on_kept(client, call, put, kept).await? {
            return Ok(Some(decided));
        }
    }
    let requested_at = SystemClock.now();
    let (id, ttl) = call.grant(seconds).await?;
    let put = transaction::grant(keys, name, options, id);
    let Ok(response) = call.write_txn(put).await? else { return Ok(None) };
    let lease = EtcdLease::new(id, ttl, requested_at);
    Ok(Some(DecidedAttempt { response, lease, is_extended: true }))
}

/// Runs the transaction, and keeps its etcd lease alive at the same time. Returns `None` if nothing
/// was put because the etcd lease cannot be used: an operator may have revoked it.
async fn put_on_kept(
    client: &EtcdClient,
    call: &BoundedCall,
    put: Txn,
    kept: EtcdLease,
) -> Result<Option<DecidedAttempt>> {
    let mut keep_alive = pin!(call.keep_alive(kept.id));
    let mut reply = None;
    let members = client.members();
    if !members.target(members.chosen()).answered_within(STALL_TIMEOUT) {
        // If the member hangs, a keep-alive is also sent to another one, and a write is not.
        let extended = keep_alive.as_mut().await;
        if !matches!(extended, Ok(Ok(_))) {
            return Ok(None);
        }
        reply = Some(extended);
    }
    let mut write = pin!(call.write_txn(put));
    let decided = loop {
        tokio::select! {
            biased;
            decided = &mut write => break decided?,
            extended = &mut keep_alive, if reply.is_none() => reply = Some(extended),
        }
    };
    let Ok(response) = decided else { return Ok(None) };
    if response.succeeded() && reply.is_none() {
        reply = timeout(STALL_TIMEOUT, keep_alive).await.ok();
    }
    // The reply to a keep-alive counts only if it came while the etcd lease was certainly in force.
    let is_in_time = kept.left(SystemClock.now()) >= kept.ttl / 4;
    Ok(Some(match reply {
        Some(Ok(Ok(before))) if is_in_time => {
            let lease = kept.extended(call.requested_at(before));
            DecidedAttempt { response, lease, is_extended: true }
        }
        _ => DecidedAttempt { response, lease: kept, is_extended: false },
    }))
}

/// Returns the minimum time that is left of a lock that was granted on an etcd lease which may not
/// have been extended. Returns `None` if the etcd lease has expired, and its keys with it.
pub(super) async fn time_left(call: &BoundedCall, lease: EtcdLease) -> Result<Option<Duration>> {
    match call.time_to_live(lease.id).await {
        Ok(live) => Ok(live.map(|live| live.for_holder)),
        Err(error) => {
            // The keys are put, so this must not be reported as an attempt that wrote nothing.
            let message = "the lock was granted, but etcd did not report for how long";
            let error = Error::new(ErrorKind::OutcomeUnknown, message).with_source(error);
            Err(error.with_fix(IS_IT_UP))
        }
    }
}

#[cfg(test)]
mod tests {
    use etcd_client::ConnectOptions;
    use tokio::time::Instant;

    use super::*;
    use crate::etcd::members::Members;

    #[tokio::test]
    async fn a_grant_whose_time_left_is_not_reported_has_an_unknown_outcome() {
        let members = Members::new(vec!["http://127.0.0.1:1".to_owned()], ConnectOptions::new());
        let call = EtcdClient::new(members).call_until(Instant::now());
        let lease = EtcdLease::new(1, Duration::from_secs(10), SystemClock.now());
        let error = time_left(&call, lease).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    }
}

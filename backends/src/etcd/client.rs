//! Calls etcd. Each call ends within the time that a store waits for its server.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, LeaseGrantOptions, Txn, TxnResponse};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::error_codes::{self, RequestResult, SendState};
use super::keep_alive::KeepAlives;
use super::keep_alive_request::KeepAliveReply;
use super::lease_id::{self, whole_seconds};
use super::lease_pool::LeasePool;
use super::limits::STALL_TIMEOUT;
use super::members::Members;
use super::request::{pause, send_once};
use crate::common::timeout::{CALL_LIMIT, timed_out};
use crate::{Clock, Error, ErrorKind, Moment, Result, SystemClock};

/// A request that no member accepted is sent at most this many times, since one may be up again.
const TRIES: usize = 6;

/// The largest reply in bytes, for calls for which the driver's own limit of 4 MiB is too low.
const LARGE_REPLY_BYTES: usize = 256 << 20;

/// Sends requests to etcd.
#[derive(Clone)]
pub(super) struct EtcdClient {
    members: Arc<Members>,
    keep_alives: Arc<KeepAlives>,
    leases: Arc<LeasePool>,
}

impl EtcdClient {
    pub(super) fn new(members: Members) -> Self {
        let members = Arc::new(members);
        let keep_alives = Arc::new(KeepAlives::new(Arc::clone(&members)));
        Self { members, keep_alives, leases: Arc::default() }
    }

    pub(super) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// Returns the etcd leases of this store.
    pub(super) fn leases(&self) -> &LeasePool {
        &self.leases
    }

    /// Begins an operation that ends in the time that a store waits for its server.
    pub(super) fn call(&self) -> BoundedCall {
        self.call_until(Instant::now() + CALL_LIMIT)
    }

    /// Begins an operation that ends at that time.
    pub(super) fn call_until(&self, end: Instant) -> BoundedCall {
        BoundedCall { etcd: self.clone(), start: SystemClock.now(), end }
    }
}

/// One operation of one or more requests, with a limit on the time of all of them.
pub(super) struct BoundedCall {
    etcd: EtcdClient,
    /// This is a time of the clock by which leases are trusted.
    start: Moment,
    end: Instant,
}

/// What a request may change in etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It changes nothing on which any lease depends, so it may also be sent to another member.
    None,
    /// The request writes: it is repeated only if it certainly had no effect.
    Write,
}

impl BoundedCall {
    /// Sends a request that changes nothing, or nothing on which a lease depends.
    pub(super) async fn read<T, F>(&self, request: impl Fn(Client) -> F) -> Result<RequestResult<T>>
    where
        F: Future<Output = RequestResult<T>>,
    {
        self.send(request, Effect::None).await
    }

    /// Sends a request that writes.
    pub(super) async fn write<T, F>(
        &self,
        request: impl Fn(Client) -> F,
    ) -> Result<RequestResult<T>>
    where
        F: Future<Output = RequestResult<T>>,
    {
        self.send(request, Effect::Write).await
    }

    /// Runs a transaction that only reads.
    pub(super) async fn read_txn(&self, txn: Txn) -> Result<TxnResponse> {
        let done = self.read(|mut client| {
            let txn = txn.clone();
            async move { client.txn(txn).await }
        });
        done.await?.map_err(error_codes::reading)
    }

    /// Runs a transaction that only reads, and whose answer may be long.
    pub(super) async fn read_large_txn(&self, txn: Txn) -> Result<TxnResponse> {
        let done = self.read(|client| {
            let (txn, client) = (txn.clone(), client.kv_client());
            async move { client.max_decoding_message_size(LARGE_REPLY_BYTES).txn(txn).await }
        });
        done.await?.map_err(error_codes::reading)
    }

    /// Runs a transaction that writes. The inner error means that an etcd lease in it has expired.
    pub(super) async fn write_txn(
        &self,
        txn: Txn,
    ) -> Result<std::result::Result<TxnResponse, LeaseExpired>> {
        let done = self.write(|mut client| {
            let txn = txn.clone();
            async move { client.txn(txn).await }
        });
        match done.await? {
            Ok(response) => Ok(Ok(response)),
            Err(error) if error_codes::is_no_lease(&error) => Ok(Err(LeaseExpired)),
            Err(error) => Err(error_codes::writing(error)),
        }
    }

    /// Creates an etcd lease of that many seconds, and returns its id and its actual duration.
    pub(super) async fn grant(&self, seconds: i64) -> Result<(i64, Duration)> {
        let granted = self.read(async |mut client: Client| {
            let options = LeaseGrantOptions::new().with_id(lease_id::new(seconds));
            client.lease_grant(seconds, Some(options)).await
        });
        let granted = granted.await?.map_err(error_codes::reading)?;
        Ok((granted.id(), whole_seconds(granted.ttl())))
    }

    /// Extends an etcd lease by its own ttl, and returns how long before this call the extension
    /// was requested: zero, unless the reply belongs to an earlier request.
    pub(super) async fn keep_alive(
        &self,
        lease: i64,
    ) -> Result<std::result::Result<Duration, LeaseExpired>> {
        let others = self.etcd.members.others();
        // If one try may have had an effect, the outcome stays unknown, even if a later try
        // certainly had none.
        let mut unknown = false;
        let mut tries = 1;
        loop {
            let reply = timeout_at(self.end, self.etcd.keep_alives.keep_alive(lease)).await;
            let error = match reply.map_err(|_| timed_out(ErrorKind::OutcomeUnknown))? {
                KeepAliveReply::Extended { sent_at } => {
                    return Ok(Ok(self.start.saturating_since(sent_at)));
                }
                KeepAliveReply::LeaseExpired => return Ok(Err(LeaseExpired)),
                KeepAliveReply::Failed(error) => error_codes::writing(error),
                KeepAliveReply::Unanswered => {
                    let message = "the keep-alive stream failed";
                    Error::new(ErrorKind::OutcomeUnknown, message).with_fix(error_codes::IS_IT_UP)
                }
            };
            unknown |= error.kind() == ErrorKind::OutcomeUnknown;
            let pause = pause(tries, others);
            let may_repeat =
                matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::OutcomeUnknown);
            if !may_repeat || tries >= TRIES + others || Instant::now() + pause >= self.end {
                return Err(if unknown { unknown_outcome(error) } else { error });
            }
            sleep(pause).await;
            tries += 1;
        }
    }

    /// Returns a time before the request of an extension that [`keep_alive`](Self::keep_alive)
    /// returned.
    pub(super) fn requested_at(&self, before: Duration) -> Moment {
        self.start.saturating_sub(before)
    }

    /// Revokes an etcd lease, which removes its keys, unless the lease has expired.
    pub(super) async fn revoke(&self, lease: i64) -> Result<()> {
        let revoked = self.write(async |mut client: Client| client.lease_revoke(lease).await);
        match revoked.await? {
            Err(error) if !error_codes::is_no_lease(&error) => Err(error_codes::writing(error)),
            _ => Ok(()),
        }
    }

    /// Returns the remaining time of an etcd lease, or `None` if it has expired.
    pub(super) async fn time_to_live(&self, lease: i64) -> Result<Option<TimeToLive>> {
        let reply =
            self.read(async |mut client: Client| client.lease_time_to_live(lease, None).await);
        match reply.await? {
            Ok(live) if live.ttl() >= 0 => Ok(Some(TimeToLive {
                for_holder: whole_seconds(live.ttl()),
                for_waiters: whole_seconds(live.granted_ttl().min(live.ttl() + 1)),
            })),
            Ok(_) => Ok(None),
            Err(error) if error_codes::is_no_lease(&error) => Ok(None),
            Err(error) => Err(error_codes::reading(error)),
        }
    }

    /// Sends the request to one member after the other, until one accepts it.
    async fn send<T, F>(
        &self,
        request: impl Fn(Client) -> F,
        effect: Effect,
    ) -> Result<RequestResult<T>>
    where
        F: Future<Output = RequestResult<T>>,
    {
        let (members, others) = (&self.etcd.members, self.etcd.members.others());
        let send_once = |target, after| send_once(members, target, after, &request);
        let mut target = members.target(members.chosen());
        let mut in_flight =
            FuturesUnordered::from_iter([send_once(target.clone(), Duration::ZERO)]);
        let (mut tries, mut doubled) = (1, 0);
        loop {
            // One timer serves both limits, since each timer can wake a thread of the runtime.
            let stalled = Instant::now() + STALL_TIMEOUT;
            let (of, failed) = tokio::select! {
                biased;
                Some((of, answer)) = in_flight.next() => match answer {
                    Ok(answer) => return Ok(Ok(answer)),
                    Err(failed) => (of, failed),
                },
                () = sleep_until(stalled.min(self.end)) => {
                    if self.end <= stalled {
                        let kind = match effect {
                            Effect::None => ErrorKind::Unavailable,
                            Effect::Write => ErrorKind::OutcomeUnknown,
                        };
                        return Err(timed_out(kind));
                    }
                    members.mark_stalled(&target, STALL_TIMEOUT);
                    if effect == Effect::None
                        && doubled < members.max_hedges()
                        && let Some(other) = members.alternative(&target)
                    {
                        doubled += 1;
                        target = other;
                        in_flight.push(send_once(target.clone(), Duration::ZERO));
                    }
                    continue;
                }
            };
            let may_repeat = match failed.send_state {
                SendState::NotSent | SendState::NotAccepted => true,
                SendState::Unknown => effect == Effect::None && tries <= others,
                SendState::Refused => return Ok(Err(failed.error)),
            };
            let pause = pause(tries, others);
            if may_repeat && tries < TRIES + others && Instant::now() + pause < self.end {
                members.use_another(of.member);
                tries += 1;
                target = members.target(members.after(of.member));
                in_flight.push(send_once(target.clone(), pause));
            } else if in_flight.is_empty() {
                return Ok(Err(failed.error));
            }
        }
    }
}

/// Returns the error when the last try failed and an earlier one may have had an effect.
fn unknown_outcome(error: Error) -> Error {
    if error.kind() == ErrorKind::OutcomeUnknown {
        return error;
    }
    let message = "etcd may have extended the lease before the call failed";
    Error::new(ErrorKind::OutcomeUnknown, message)
        .with_source(error)
        .with_fix(error_codes::IS_IT_UP)
}

/// The remaining time of an etcd lease, which etcd returns in whole seconds, rounded down.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeToLive {
    /// The minimum that may be left, for its holder.
    pub(super) for_holder: Duration,
    /// The maximum that may be left, for the waiters.
    pub(super) for_waiters: Duration,
}

/// The etcd lease has expired.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseExpired;

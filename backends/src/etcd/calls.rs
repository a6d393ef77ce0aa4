//! Calls to etcd, each within the time that a store waits for its server.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error as EtcdError, LeaseGrantOptions, Txn, TxnResponse};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{self, Fate};
use super::keep_alive::{KeepAlives, Kept};
use crate::common::limit::{self, CALL_LIMIT};
use crate::{Error, ErrorKind, Result};

/// How often a request is repeated that no connection was had for: another member may be up.
const TRIES: u32 = 6;

/// The longest answer in bytes, where the driver's own limit of 4 MiB is too little.
const MUCH: usize = 256 << 20;

const DISCARDED_AFTER: Duration = Duration::from_secs(2);

/// The client.
#[derive(Clone)]
pub(super) struct Etcd {
    client: Client,
    keep_alives: Arc<KeepAlives>,
}

/// An answer that etcd gave, or its error, in the caller's words.
pub(super) type Answer<T> = std::result::Result<T, EtcdError>;

impl Etcd {
    pub(super) fn new(client: Client) -> Self {
        let keep_alives = Arc::new(KeepAlives::new(client.clone()));
        Self { client, keep_alives }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Ends an etcd lease that nothing is attached to any more, a moment later: not on the way of
    /// those who wait for its name. If this process ends before, it runs out.
    pub(super) fn discard(&self, lease: i64) {
        let mut client = self.client();
        tokio::spawn(async move {
            sleep(DISCARDED_AFTER).await;
            let revoked = tokio::time::timeout(CALL_LIMIT, client.lease_revoke(lease)).await;
            if let Ok(Err(error)) = revoked {
                tracing::debug!(%error, "an etcd lease is left to run out");
            }
        });
    }

    pub(super) fn call(&self) -> Call {
        let keep_alives = Arc::clone(&self.keep_alives);
        Call { client: self.client(), keep_alives, end: Instant::now() + CALL_LIMIT }
    }
}

/// One operation, of one or more requests that share its time.
pub(super) struct Call {
    client: Client,
    keep_alives: Arc<KeepAlives>,
    end: Instant,
}

impl Call {
    /// A request that changes nothing, or nothing that anybody relies on.
    pub(super) async fn read<T, F>(&self, request: impl Fn(Client) -> F) -> Result<Answer<T>>
    where
        F: Future<Output = Answer<T>>,
    {
        self.ask(request, ErrorKind::Unavailable).await
    }

    /// A request that writes.
    pub(super) async fn write<T, F>(&self, request: impl Fn(Client) -> F) -> Result<Answer<T>>
    where
        F: Future<Output = Answer<T>>,
    {
        self.ask(request, ErrorKind::OutcomeUnknown).await
    }

    /// A transaction that only reads.
    pub(super) async fn look(&self, txn: Txn) -> Result<TxnResponse> {
        let done = self.read(|mut client| {
            let txn = txn.clone();
            async move { client.txn(txn).await }
        });
        done.await?.map_err(error::reading)
    }

    /// The same of one whose answer may be long.
    pub(super) async fn look_at_much(&self, txn: Txn) -> Result<TxnResponse> {
        let done = self.read(|client| {
            let (txn, client) = (txn.clone(), client.kv_client());
            async move { client.max_decoding_message_size(MUCH).txn(txn).await }
        });
        done.await?.map_err(error::reading)
    }

    /// A transaction that writes. The inner error is that an etcd lease named in it is over.
    pub(super) async fn commit(
        &self,
        txn: Txn,
    ) -> Result<std::result::Result<TxnResponse, NoLease>> {
        let done = self.write(|mut client| {
            let txn = txn.clone();
            async move { client.txn(txn).await }
        });
        match done.await? {
            Ok(response) => Ok(Ok(response)),
            Err(error) if error::is_no_lease(&error) => Ok(Err(NoLease)),
            Err(error) => Err(error::writing(error)),
        }
    }

    /// A new etcd lease of that many seconds: its id, and for how long it really is.
    pub(super) async fn grant(&self, seconds: i64) -> Result<(i64, Duration)> {
        let granted = self.read(async |mut client: Client| {
            let options = LeaseGrantOptions::new().with_id(lease_id(seconds));
            client.lease_grant(seconds, Some(options)).await
        });
        let granted = granted.await?.map_err(error::reading)?;
        Ok((granted.id(), whole_seconds(granted.ttl())))
    }

    /// Extends an etcd lease by its own ttl.
    pub(super) async fn keep_alive(&self, lease: i64) -> Result<std::result::Result<(), NoLease>> {
        let kept = self.write(async |_| match self.keep_alives.ask(lease).await {
            Kept::Failed(error) => Err(error),
            kept => Ok(kept),
        });
        match kept.await? {
            Ok(Kept::Extended) => Ok(Ok(())),
            Ok(Kept::NoLease) => Ok(Err(NoLease)),
            Ok(Kept::Unanswered | Kept::Failed(_)) => {
                Err(Error::new(ErrorKind::OutcomeUnknown, "the stream of keep-alives broke off")
                    .with_fix(error::IS_IT_UP))
            }
            Err(error) => Err(error::writing(error)),
        }
    }

    /// Ends an etcd lease, and the keys that are on it, unless it is over.
    pub(super) async fn revoke(&self, lease: i64) -> Result<()> {
        let revoked = self.write(async |mut client: Client| client.lease_revoke(lease).await);
        match revoked.await? {
            Err(error) if !error::is_no_lease(&error) => Err(error::writing(error)),
            _ => Ok(()),
        }
    }

    /// What is left of an etcd lease; none when it is over.
    pub(super) async fn left(&self, lease: i64) -> Result<Option<Left>> {
        let asked =
            self.read(async |mut client: Client| client.lease_time_to_live(lease, None).await);
        match asked.await? {
            Ok(told) if told.ttl() >= 0 => Ok(Some(Left {
                at_least: whole_seconds(told.ttl()),
                at_most: whole_seconds(told.granted_ttl().min(told.ttl() + 1)),
            })),
            Ok(_) => Ok(None),
            Err(error) if error::is_no_lease(&error) => Ok(None),
            Err(error) => Err(error::reading(error)),
        }
    }

    async fn ask<T, F>(&self, request: impl Fn(Client) -> F, kind: ErrorKind) -> Result<Answer<T>>
    where
        F: Future<Output = Answer<T>>,
    {
        let mut tries = 1;
        loop {
            let asked = timeout_at(self.end, request(self.client.clone())).await;
            match asked.map_err(|_| limit::unanswered(kind))? {
                Err(error) if error::fate(&error) == Fate::NotSent && tries < TRIES => {
                    tries += 1;
                    let pause = Duration::from_millis(fastrand::u64(5..20) << tries);
                    if Instant::now() + pause >= self.end {
                        return Ok(Err(error));
                    }
                    sleep(pause).await;
                }
                answer => return Ok(answer),
            }
        }
    }
}

/// The bits of an etcd lease's id that tell its ttl in seconds: a day has fewer than 2¹⁷.
const TTL_BITS: u32 = 17;

/// An id for a new etcd lease: random, and telling the ttl that was asked for.
fn lease_id(seconds: i64) -> i64 {
    let random = fastrand::i64(1..1 << (62 - TTL_BITS));
    (random << TTL_BITS) | (seconds & ((1 << TTL_BITS) - 1))
}

/// The ttl in seconds that an etcd lease of ours was asked for.
pub(super) fn seconds_of(lease: i64) -> i64 {
    lease & ((1 << TTL_BITS) - 1)
}

/// What is left of an etcd lease, which etcd tells in whole seconds, rounded down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// For its holder.
    pub(super) at_least: Duration,
    /// For those who wait for its end.
    pub(super) at_most: Duration,
}

/// The etcd lease is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoLease;

pub(super) fn whole_seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

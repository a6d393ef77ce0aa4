//! The operations on locks, each of which is one script on one key.

use std::time::Duration;

use ::redis::Value;

use super::instances::Instances;
use super::record::{ScriptReply, unexpected_reply};
use super::request::{Call, Request};
use super::runtimes::Runtimes;
use super::scan::ScanCache;
use super::scripts::{self, Script};
use super::servers;
use super::wait_pool::{WaitReply, WriteKind};
use crate::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, Error,
    ErrorKind, FencingToken, Grant, Held, LeaseId, ListOptions, LockName, LockRecord, PruneOptions,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// A grant or a disable, and at most a renewal, waits this long for the replicas that the URL asks
/// for.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(1);

/// This many records are read or pruned in one round trip.
const BATCH: usize = 500;

pub(super) struct Operations {
    /// The prefix of the keys, before a lock's name.
    pub(super) keys: String,
    /// The channel of the hints.
    pub(super) channel: String,
    pub(super) instances: Instances,
    pub(super) runtimes: Runtimes,
    pub(super) listings: ScanCache,
}

impl Operations {
    fn script(&self, script: &'static Script, name: &LockName, more: &[&str]) -> Request {
        let arguments =
            [self.channel.as_str(), name.as_str()].into_iter().chain(more.iter().copied());
        Request::Script(Call {
            script,
            key: format!("{}{name}", self.keys).into(),
            arguments: arguments.map(Into::into).collect(),
        })
    }

    async fn run(
        &self,
        script: &'static Script,
        name: &LockName,
        more: &[&str],
    ) -> Result<ScriptReply> {
        let request = self.script(script, name, more);
        complete_record(name, self.runtimes.here().servers.call(request).await?)
    }

    /// Does the same as [`run`](Self::run), and also returns why too few replicas have the write,
    /// if so.
    async fn run_on_replicas(
        &self,
        kind: WriteKind,
        script: &'static Script,
        name: &LockName,
        more: &[&str],
    ) -> Result<(ScriptReply, Option<Error>)> {
        let connections = self.runtimes.here();
        let Some(replicas) = &connections.replicas else {
            return Ok((self.run(script, name, more).await?, None));
        };
        let request = self.script(script, name, more);
        let (answer, missing) = replicas.write(kind, request, REPLICA_TIMEOUT).await?;
        Ok((complete_record(name, answer)?, missing))
    }

    pub(super) async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
    ) -> Result<AcquireOutcome> {
        let holder = serde_json::to_string(&options.holder)
            .map_err(|e| Error::invalid("the holder is not valid JSON").with_source(e))?;
        let (lease, ttl) = (options.lease.to_string(), micros(options.ttl));
        let more = [lease.as_str(), &holder, &ttl];
        let (answer, missing) =
            self.run_on_replicas(WriteKind::Grant, &scripts::ACQUIRE, name, &more).await?;
        match &*answer.word {
            "granted" => {
                let token = FencingToken::new(answer.number(0)?)?;
                if let Some(error) = missing {
                    return Err(self.release_unreplicated(name, options.lease, error).await);
                }
                Ok(AcquireOutcome::Granted(Grant { token, left: answer.duration(1)? }))
            }
            "held" => {
                let LockRecord { token, lease, .. } = answer.record(name)?;
                let (token, lease) = token.zip(lease).ok_or_else(unexpected_reply)?;
                Ok(AcquireOutcome::Held(Held { holder: lease.holder, token, left: lease.left }))
            }
            "disabled" => {
                let disabled = answer.record(name)?.disabled.ok_or_else(unexpected_reply)?;
                Ok(AcquireOutcome::Disabled(disabled))
            }
            _ => Err(unexpected_reply()),
        }
    }

    /// Releases a grant that too few replicas have.
    async fn release_unreplicated(&self, name: &LockName, lease: LeaseId, missing: Error) -> Error {
        match self.release(name, lease).await {
            Ok(_) => missing,
            Err(cause) => Error::new(
                ErrorKind::OutcomeUnknown,
                "too few replicas have the grant, and it could not be released",
            )
            .with_source(cause),
        }
    }

    pub(super) async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let answer = self.run(&scripts::RELEASE, name, &[&lease.to_string()]).await?;
        match &*answer.word {
            "released" => Ok(ReleaseOutcome::Released),
            "not_held" => Ok(ReleaseOutcome::NotHeld),
            _ => Err(unexpected_reply()),
        }
    }

    pub(super) async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let request = |RenewOptions { name, lease, ttl }: &RenewOptions| {
            self.script(&scripts::RENEW, name, &[&lease.to_string(), &micros(*ttl)])
        };
        let requests: Vec<_> = leases.iter().map(request).collect();
        let shortest = leases.iter().map(|lease| lease.ttl).min().unwrap_or_default();
        let connections = self.runtimes.here();
        let WaitReply { answers, missing } = match &connections.replicas {
            // This is less than the engine's default limit for a heartbeat, so that the engine gets
            // the reason.
            Some(replicas) => replicas.renew(&requests, REPLICA_TIMEOUT.min(shortest / 12)).await?,
            None => {
                let limit = |latency| shard_limit(latency, shortest);
                let answers = connections.servers.call_all(requests, limit).await?;
                WaitReply { answers, missing: None }
            }
        };
        let outcomes = leases.iter().zip(answers);
        let outcomes = outcomes.map(|(lease, answer)| renewed(&lease.name, answer));
        per_lease(outcomes.collect(), missing.as_ref())
    }

    pub(super) async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
    ) -> Result<DisableOutcome> {
        let mut more = vec![options.reason.as_str()];
        more.extend(options.by.as_deref());
        let (answer, missing) =
            self.run_on_replicas(WriteKind::Disable, &scripts::DISABLE, name, &more).await?;
        let outcome = match &*answer.word {
            "disabled" => DisableOutcome::Disabled,
            "already" => {
                let disabled = answer.record(name)?.disabled.ok_or_else(unexpected_reply)?;
                DisableOutcome::AlreadyDisabled(disabled)
            }
            _ => return Err(unexpected_reply()),
        };
        match missing {
            None => Ok(outcome),
            Some(missing) => Err(Error::new(
                ErrorKind::OutcomeUnknown,
                "the lock is disabled, but too few replicas have it: a failover could lose it",
            )
            .with_source(missing)
            .with_fix("repeat it once the replicas are connected (INFO replication)")),
        }
    }

    pub(super) async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        match &*self.run(&scripts::ENABLE, name, &[]).await?.word {
            "enabled" => Ok(EnableOutcome::Enabled),
            "already" => Ok(EnableOutcome::AlreadyEnabled),
            _ => Err(unexpected_reply()),
        }
    }

    pub(super) async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let answer = self.run(&scripts::READ, name, &[]).await;
        let record = answer.and_then(|answer| {
            if answer.word == "none" { Ok(None) } else { answer.record(name).map(Some) }
        });
        match record {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                Ok(Some(LockRecord::unreadable(name.clone(), &error)))
            }
            record => record,
        }
    }

    pub(super) async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let ListOptions { prefix, after, limit } = options;
        if *limit == 0 {
            return Ok(Vec::new());
        }
        let (connections, listings) = (self.runtimes.here(), &self.listings);
        let servers = &connections.servers;
        let mut names = listings.names(servers, &self.keys, "list", prefix, after.as_ref()).await?;
        let mut records = Vec::new();
        while records.len() < *limit {
            let page = names.next_page(BATCH.min(limit - records.len()));
            if page.is_empty() {
                return Ok(records);
            }
            let requests = page.iter().map(|name| self.script(&scripts::READ, name, &[])).collect();
            let answers = servers.call_all(requests, servers::full_limit).await?;
            for (name, answer) in page.iter().zip(answers) {
                records.extend(listed(name, answer, servers.is_cluster())?);
            }
        }
        if let Some(last) = records.last() {
            listings.store_page(names, &last.name);
        }
        Ok(records)
    }

    pub(super) async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        let PruneOptions { unused_for, after, limit, dry_run } = options;
        let (connections, listings) = (self.runtimes.here(), &self.listings);
        let servers = &connections.servers;
        let mut pruned = Vec::new();
        if *limit == 0 {
            return Ok(pruned);
        }
        let (unused_for, act) = (micros(*unused_for), if *dry_run { "" } else { "remove" });
        let mut names = listings.names(servers, &self.keys, "prune", "", after.as_ref()).await?;
        while pruned.len() < *limit {
            // This asks for at most as many as may be removed, so that each removed name is
            // returned.
            let page = names.next_page(BATCH.min(limit - pruned.len()));
            if page.is_empty() {
                return Ok(pruned);
            }
            let request = |name| self.script(&scripts::PRUNE, name, &[&unused_for, act]);
            let requests = page.iter().map(request).collect();
            let answers = servers.call_all(requests, servers::full_limit).await?;
            for (name, answer) in page.iter().zip(answers) {
                match answer.and_then(ScriptReply::new) {
                    Ok(answer) if answer.word == "unused" => pruned.push(name.clone()),
                    Ok(answer) if answer.word == "used" => {}
                    Ok(_) => return Err(unexpected_reply()),
                    // The value at the key is not Leasehold's.
                    Err(error) if error.kind() == ErrorKind::Corrupt => {}
                    Err(error) if servers.is_cluster() && error.is_transient() => {
                        tracing::warn!(%error, lock = %name, "a lock of the cluster is not pruned");
                    }
                    Err(error) => return Err(error.for_lock(name)),
                }
            }
        }
        if let Some(last) = pruned.last() {
            listings.store_page(names, last);
        }
        Ok(pruned)
    }
}

/// Returns the record of a name that a scan found, if it still exists.
fn listed(name: &LockName, answer: Result<Value>, in_cluster: bool) -> Result<Option<LockRecord>> {
    let record = answer.and_then(|value| complete_record(name, value)).and_then(|answer| {
        if answer.word == "none" { Ok(None) } else { answer.record(name).map(Some) }
    });
    match record {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Ok(Some(LockRecord::unreadable(name.clone(), &error)))
        }
        Err(error) if in_cluster && error.is_transient() => {
            tracing::warn!(%error, lock = %name, "a listing lacks a lock of the cluster");
            Ok(None)
        }
        record => record.map_err(|error| error.for_lock(name)),
    }
}

/// Returns the answer to a call for that name, or an error if the record is damaged.
fn complete_record(name: &LockName, value: Value) -> Result<ScriptReply> {
    let answer = ScriptReply::new(value)?;
    if answer.word == "damaged" {
        answer.record(name)?;
    }
    Ok(answer)
}

/// Returns how long a node of a cluster may take for a batch of renewals: a small part of the
/// shortest ttl, or more if the node is known to be slow. This way the answers of the other nodes
/// come in time.
fn shard_limit(latency: Duration, ttl: Duration) -> Duration {
    let least = (ttl / 40).clamp(Duration::from_millis(20), Duration::from_secs(1));
    least.max(latency.saturating_mul(4).min(ttl / 4))
}

/// Turns the failure of one renewal into its own unknown outcome, unless all renewals failed.
///
/// A renewal that too few replicas have must not be relied on, since a failover could lose it.
fn per_lease(
    outcomes: Vec<Result<RenewOutcome>>,
    missing: Option<&Error>,
) -> Result<Vec<RenewOutcome>> {
    if outcomes.iter().all(Result::is_err) {
        return outcomes.into_iter().collect();
    }
    let outcomes = outcomes.into_iter().map(|outcome| match (outcome, missing) {
        (Ok(RenewOutcome::Extended { .. }), Some(missing)) => unknown(missing),
        (Ok(outcome), _) => outcome,
        (Err(error), _) => unknown(&error),
    });
    Ok(outcomes.collect())
}

fn unknown(error: &Error) -> RenewOutcome {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        why = format!("{why}: {source}");
        cause = source.source();
    }
    RenewOutcome::Unknown { why }
}

/// Returns the outcome of one renewal. A damaged record must not affect other leases; the outcome
/// of its own lease is unknown.
pub(super) fn renewed(name: &LockName, value: Result<Value>) -> Result<RenewOutcome> {
    let damaged = |error: Error| {
        let error = error.for_lock(name);
        tracing::error!(%error, "a lease cannot be renewed");
        unknown(&error)
    };
    let answer = match value {
        // The value at the key is not Leasehold's.
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(damaged(error)),
        value => ScriptReply::new(value?)?,
    };
    match &*answer.word {
        "extended" => Ok(RenewOutcome::Extended { left: answer.duration(0)? }),
        "lost" => Ok(RenewOutcome::Lost),
        "ending" => {
            let left = answer.duration(1)?;
            let reason = answer.reason(name);
            Ok(reason.map_or_else(damaged, |reason| RenewOutcome::Disabled { reason, left }))
        }
        "damaged" => {
            answer.record(name).map_or_else(|e| Ok(damaged(e)), |_| Err(unexpected_reply()))
        }
        _ => Err(unexpected_reply()),
    }
}

fn micros(ttl: Duration) -> String {
    ttl.as_nanos().div_ceil(1000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrupt_reason_fails_only_its_own_lease() {
        let name = LockName::new("a").unwrap();
        let ending = |reason: &[u8]| {
            let parts = [b"ending", reason, b"5"].map(|part| Value::BulkString(part.to_vec()));
            renewed(&name, Ok(Value::Array(parts.to_vec())))
        };
        for damaged in [&b""[..], b"\xff", b"a\0b", &[b'x'; 1025]] {
            assert!(matches!(ending(damaged), Ok(RenewOutcome::Unknown { .. })));
        }
        let unexpected_reply = Value::Array(vec![Value::BulkString(b"what".to_vec())]);
        assert!(renewed(&name, Ok(unexpected_reply)).is_err());
        let told = ending(b"upkeep").unwrap();
        assert!(
            matches!(told, RenewOutcome::Disabled { reason, .. } if reason.as_str() == "upkeep")
        );
    }

    #[test]
    fn a_failed_renewal_is_unknown_for_that_lease_only() {
        let failed = || Err(Error::new(ErrorKind::Unavailable, "the shard is down"));
        let extended = || Ok(RenewOutcome::Extended { left: Duration::from_secs(1) });
        let outcomes = per_lease(vec![failed(), extended(), Ok(RenewOutcome::Lost)], None).unwrap();
        let RenewOutcome::Unknown { why } = &outcomes[0] else { panic!("{outcomes:?}") };
        assert!(why.contains("the shard is down"), "{why}");
        assert_eq!(outcomes[1..], [extended().unwrap(), RenewOutcome::Lost]);
        let error = per_lease(vec![failed(), failed()], None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        // A renewal that too few replicas have is unknown; a lost lease is reported without any
        // replica.
        let missing = Error::new(ErrorKind::Unavailable, "0 of 1 replicas");
        let outcomes = per_lease(vec![extended(), Ok(RenewOutcome::Lost)], Some(&missing)).unwrap();
        assert!(matches!(outcomes[0], RenewOutcome::Unknown { .. }), "{outcomes:?}");
        assert_eq!(outcomes[1], RenewOutcome::Lost);
    }

    #[test]
    fn a_slow_node_is_given_more_time_within_the_ttl() {
        let millis = Duration::from_millis;
        for (latency, ttl, limit) in [
            (0, 20_000, 500),
            (100, 20_000, 500),
            (1000, 20_000, 4000),
            (3000, 20_000, 5000),
            (0, 100_000, 1000),
            (0, 400, 20),
        ] {
            assert_eq!(shard_limit(millis(latency), millis(ttl)), millis(limit), "{latency} {ttl}");
        }
    }
}

//! The operations that differ from other datastores. Each one on a lock is one script on one key,
//! which several renewals share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;
use uuid::Uuid;

use super::check::check;
use super::instances::Instances;
use super::record::{ScriptReply, unexpected_reply};
use super::renew;
use super::request::micros;
use super::runtimes::{Connections, Runtimes};
use super::scan::ScanCache;
use super::script_runner::ScriptRunner;
use super::url::Config;
use super::wait_pool::{WriteKind, unreplicated};
use super::{error_codes, queue, scripts, servers, watch};
use crate::common::timeout::CALL_LIMIT;
use crate::shell::{
    Attempt, Backend, Decision, Entry, Found, Hints, Operation, Page, StoredInstance,
};
use crate::{
    AcquireOptions, Capabilities, DisableOptions, EnableOutcome, EnterOptions, Error, ErrorKind,
    FencingToken, Grant, LeaseId, LockName, LockRecord, Namespace, Reach, ReleaseOptions,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result, StoreClock, Wake,
};

/// The backend of a [`RedisStore`](super::RedisStore).
pub struct Redis {
    label: String,
    runner: ScriptRunner,
    instances: Instances,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("label", &self.label)
            .field("keys", &self.runner.keys)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Creates the backend, which connects when it is first used.
    pub(super) fn new(config: Config, namespace: &Namespace) -> Self {
        let Config { topology, label, wait_replicas } = config;
        let runner = ScriptRunner {
            keys: format!("{namespace}:lock:"),
            channel: format!("{namespace}:hints"),
            runtimes: Runtimes::new(topology, wait_replicas),
            scans: ScanCache::default(),
        };
        Self { label, runner, instances: Instances::new(namespace) }
    }

    /// Checks that the server knows the commands and that the user may run them.
    pub(super) async fn check(&self) -> Result<()> {
        let ScriptRunner { keys, channel, .. } = &self.runner;
        check(&self.connections(), keys, channel).await.map_err(error_codes::reading)
    }

    /// Returns the connections of the runtime that calls this.
    fn connections(&self) -> Arc<Connections> {
        self.runner.runtimes.here()
    }
}

impl Backend for Redis {
    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(StoreClock::Server, Reach::Network, Wake::Push).with_queues()
    }

    async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        _: Attempt,
    ) -> Result<Decision<Grant>> {
        let holder = serde_json::to_string(&options.holder).map_err(|error| {
            Error::invalid("the holder cannot be encoded as JSON").with_source(error)
        })?;
        let (lease, ttl) = (options.lease.to_string(), micros(options.ttl).to_string());
        let more = [lease.as_str(), &holder, &ttl];
        let (reply, missing) =
            self.runner.run_on_replicas(WriteKind::Grant, &scripts::ACQUIRE, name, &more).await?;
        match (&*reply.word, missing) {
            ("granted", None) => {
                let token = FencingToken::new(reply.number(0)?)?;
                Ok(Decision::Done(Grant::new(token, reply.duration(1)?)))
            }
            ("granted", Some(missing)) => {
                Err(unreplicated(missing, self.release(name, options.lease).await))
            }
            ("held" | "disabled", _) => refused(&reply, name),
            _ => Err(unexpected_reply()),
        }
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let requests = leases.iter().map(|lease| self.runner.renewal(lease)).collect();
        renew::renew(&self.connections(), leases, requests).await
    }

    async fn enter(
        &self,
        name: &LockName,
        options: &EnterOptions,
        _: Attempt,
    ) -> Result<Option<LockRecord>> {
        let (record, missing) = queue::enter(&self.runner, name, options).await?;
        match missing {
            None => Ok(Some(record)),
            Some(missing) => Err(unreplicated(missing, self.leave(name, options.lease).await)),
        }
    }

    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        release_outcome(&self.runner.run(&scripts::LEAVE, name, &[&lease.to_string()]).await?)
    }

    async fn renew_entries(&self, entries: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        renew::renew_entries(&self.runner, entries).await
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        release_outcome(&self.runner.run(&scripts::RELEASE, name, &[&lease.to_string()]).await?)
    }

    async fn release_many(
        &self,
        leases: &[&ReleaseOptions],
    ) -> Result<Option<Vec<Result<ReleaseOutcome>>>> {
        let mut requests = Vec::with_capacity(leases.len());
        for ReleaseOptions { name, lease, .. } in leases {
            requests.push(self.runner.request(&scripts::RELEASE, name, &[&lease.to_string()]));
        }
        let connections = self.connections();
        let answers = connections.servers.call_all(requests, servers::full_limit).await?;
        let outcome = |(lease, answer): (&&ReleaseOptions, Result<Value>)| {
            release_outcome(&ScriptReply::for_lock(&lease.name, answer?)?)
        };
        Ok(Some(leases.iter().zip(answers).map(outcome).collect()))
    }

    async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        _: Attempt,
    ) -> Result<Decision<()>> {
        let mut more = vec![options.reason.as_str()];
        more.extend(options.by.as_deref());
        let (reply, missing) =
            self.runner.run_on_replicas(WriteKind::Disable, &scripts::DISABLE, name, &more).await?;
        let decision = match &*reply.word {
            "disabled" => Decision::Done(()),
            "already" => refused(&reply, name)?,
            _ => return Err(unexpected_reply()),
        };
        match missing {
            None => Ok(decision),
            Some(missing) => Err(Error::new(
                ErrorKind::OutcomeUnknown,
                "the lock is disabled, but too few replicas confirmed it: a failover could lose it",
            )
            .with_source(missing)
            .with_fix("disable it again once the replicas are connected (INFO replication)")),
        }
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        match &*self.runner.run(&scripts::ENABLE, name, &[]).await?.word {
            "enabled" => Ok(EnableOutcome::Enabled),
            "already" => Ok(EnableOutcome::AlreadyEnabled),
            _ => Err(unexpected_reply()),
        }
    }

    async fn read(&self, name: &LockName) -> Result<Option<Entry>> {
        let request = self.runner.request(&scripts::READ, name, &[]);
        let answer = self.connections().servers.call(request).await;
        entry(name, answer).map_err(error_codes::reading)
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        let found = self.runner.scan_page("list", page, &scripts::READ, &[], entry).await;
        found.map_err(error_codes::reading)
    }

    async fn prune_page(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        let unused_for = micros(unused_for).to_string();
        let act = if dry_run { "" } else { "remove" };
        self.runner.scan_page("prune", page, &scripts::PRUNE, &[&unused_for, act], pruned).await
    }

    async fn announce(&self, instance: Uuid, text: &str, ttl: Duration) -> Result<()> {
        self.instances.announce(&self.connections().servers, instance, text, ttl).await
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        self.instances.withdraw(&self.connections().servers, instance).await
    }

    async fn instances(&self) -> Result<Vec<StoredInstance>> {
        let stored = self.instances.stored(&self.connections().servers).await;
        stored.map_err(error_codes::reading)
    }

    async fn watch_once(&self, hints: &Hints) -> Result<()> {
        watch::subscribe(&self.connections().topology, &self.runner.channel, hints).await
    }

    fn call_limit(&self, operation: Operation) -> Option<Duration> {
        // An attempt may wait for replicas and then be released, or follow its slot from one node
        // of a cluster to another. Otherwise each request has a limit of its own, so that it is
        // known whether it was sent.
        let is_one_request = self.runner.runtimes.has_one_request_per_call();
        let is_attempt = matches!(operation, Operation::Acquire | Operation::Enter);
        (is_attempt && !is_one_request).then_some(CALL_LIMIT)
    }
}

fn release_outcome(reply: &ScriptReply) -> Result<ReleaseOutcome> {
    match &*reply.word {
        "released" => Ok(ReleaseOutcome::Released),
        "not_held" => Ok(ReleaseOutcome::NotHeld),
        _ => Err(unexpected_reply()),
    }
}

/// Returns the record in a reply to an attempt that failed.
fn refused<T>(reply: &ScriptReply, name: &LockName) -> Result<Decision<T>> {
    let record = reply.record(name)?;
    let refuses = match &*reply.word {
        "held" => record.is_in_use(),
        _ => record.disabled.is_some(),
    };
    if refuses { Ok(Decision::Refused(record)) } else { Err(unexpected_reply()) }
}

/// Reads the record of a name from a reply.
fn entry(name: &LockName, answer: Result<Value>) -> Result<Option<Entry>> {
    let reply = answer.and_then(|answer| ScriptReply::for_lock(name, answer));
    let record = reply.and_then(|reply| match &*reply.word {
        "none" => Ok(None),
        _ => reply.record(name).map(Some),
    });
    match record {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Ok(Some(Entry::Corrupt { name: Some(name.clone()), error }))
        }
        record => Ok(record?.map(Entry::Record)),
    }
}

/// Returns the name if it was unused.
fn pruned(name: &LockName, answer: Result<Value>) -> Result<Option<LockName>> {
    match answer.and_then(ScriptReply::new) {
        Ok(reply) if reply.word == "unused" => Ok(Some(name.clone())),
        Ok(reply) if reply.word == "used" => Ok(None),
        Ok(_) => Err(unexpected_reply()),
        // Leasehold did not write the value at the key.
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}

//! The store: each operation is one script on one key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::cluster::ClusterClient;
use ::redis::{Client, RedisResult, Value};
use async_trait::async_trait;
use uuid::Uuid;

use super::instances::Instances;
use super::link::{Call, Link};
use super::place::Place;
use super::record::{Answer, strange};
use super::scripts::{self, Script};
use super::waiting::Waiting;
use super::{config, error, list, watch};
use crate::common::{about, limit};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, ErrorKind, FencingToken, Grant, Held, HintStream, InstanceRecord, LeaseId, ListOptions,
    LockName, LockRecord, LockStore, Namespace, OpenOptions, Presence, Reach, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result, StoreClock, Wake, check_ttl,
};

/// How long a grant waits for the replicas that the URL asks for.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// Locks in Redis or Valkey; see the [module](super) for what they guarantee.
///
/// Clones share one connection, which is made anew when it breaks.
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
}

struct Shared {
    label: String,
    /// Of the keys: what stands before a lock's name.
    keys: String,
    /// Of the hints.
    channel: String,
    instances: Instances,
    wait_replicas: u32,
    link: Link,
    waiting: Waiting,
}

impl RedisStore {
    /// Opens the server, the sentinels' primary or the cluster that the URL names.
    ///
    /// The URL is one of `redis://USER:PASSWORD@HOST:PORT/DB`, `redis+cluster://HOST:PORT,HOST:PORT`
    /// and `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB`; with `rediss` instead of `redis` for
    /// TLS, and `valkey` and `valkeys` alike. `?wait_replicas=N` lets a grant wait until so many
    /// replicas have it; `ca`, `cert` and `key` name files in PEM for TLS, and
    /// `sentinel_username` and `sentinel_password` are the sentinels' own.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a URL that is none;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when no server answers;
    /// [`Denied`](crate::ErrorKind::Denied) for a wrong password or a missing right.
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let config = config::parse(url).map_err(|error| error.during("open"))?;
        if config.wait_replicas > 0 && config.place.is_cluster() {
            return Err(Error::invalid("wait_replicas does not go with a cluster")
                .with_fix("see the server's own setting min-replicas-to-write instead")
                .during("open"));
        }
        Self::open(config, options).await
    }

    /// Builds the store on the server of a client that the application already has.
    ///
    /// A client of this driver is no connection: the store makes one of its own, and one for each
    /// watch.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_client(client: Client, options: &OpenOptions) -> Result<Self> {
        let label = format!("redis://{}", client.get_connection_info().addr());
        let place = Place::Single(Box::new(client));
        Self::open(config::Config { place, label, wait_replicas: 0 }, options).await
    }

    /// Builds the store on the cluster of a client that the application already has.
    ///
    /// That client should not retry ([`retries(0)`](::redis::cluster::ClusterClientBuilder::retries)):
    /// it would repeat what may have been done. `nodes` are clients of one or more nodes, with the
    /// user that is to watch for hints.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_cluster_client(
        client: ClusterClient,
        nodes: Vec<Client>,
        options: &OpenOptions,
    ) -> Result<Self> {
        if nodes.is_empty() {
            return Err(Error::invalid("no node is given to watch at").during("open"));
        }
        let label = format!("redis+cluster://{}", nodes[0].get_connection_info().addr());
        let place = Place::Cluster(Box::new(client), nodes);
        Self::open(config::Config { place, label, wait_replicas: 0 }, options).await
    }

    async fn open(config: config::Config, options: &OpenOptions) -> Result<Self> {
        if config.place.has_tls() {
            config::provide_cryptography();
        }
        let config::Config { place, label, wait_replicas } = config;
        let (namespace, place) = (&options.namespace, Arc::new(place));
        let shared = Shared {
            keys: format!("{namespace}:lock:"),
            channel: format!("{namespace}:hints"),
            instances: Instances::new(namespace),
            waiting: Waiting::new(Arc::clone(&place)),
            link: Link::new(place),
            wait_replicas,
            label,
        };
        // A script that reads shows whether server, password and rights are right. No lock can
        // have the empty name.
        let call =
            Call { script: &scripts::READ, key: shared.keys.clone().into(), arguments: vec![] };
        let read = shared.link.call(&call).await.and_then(Answer::new).map_err(error::reading);
        read.map_err(about("open", &shared.label, None))?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The statements that create the schema of that namespace: none, since Redis has none.
    #[must_use]
    pub fn schema(_namespace: &Namespace) -> String {
        String::new()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("label", &self.shared.label)
            .field("keys", &self.shared.keys)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn script(&self, script: &'static Script, name: &LockName, more: &[&str]) -> Call {
        let arguments =
            [self.channel.as_str(), name.as_str()].into_iter().chain(more.iter().copied());
        Call {
            script,
            key: format!("{}{name}", self.keys).into(),
            arguments: arguments.map(Into::into).collect(),
        }
    }

    async fn run(&self, script: &'static Script, name: &LockName, more: &[&str]) -> Result<Answer> {
        whole(name, self.link.call(&self.script(script, name, more)).await?)
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let holder = serde_json::to_string(&options.holder)
            .map_err(|e| Error::invalid("the holder is no JSON").with_source(e))?;
        let (lease, ttl) = (options.lease.to_string(), micros(options.ttl));
        let call = self.script(&scripts::ACQUIRE, name, &[&lease, &holder, &ttl]);
        let (answer, reached) = if self.wait_replicas == 0 {
            (self.link.call(&call).await?, None)
        } else {
            let mut wait = ::redis::cmd("WAIT");
            wait.arg(self.wait_replicas).arg(REPLICA_PATIENCE.as_millis().to_string());
            let (answer, reached) = self.waiting.call_and(&call, &wait).await?;
            (answer, Some(reached))
        };
        let answer = whole(name, answer)?;
        match &*answer.word {
            "granted" => {
                let token = FencingToken::new(answer.number(0)?)?;
                if let Some(reached) = reached {
                    self.check_replicas(name, options.lease, reached).await?;
                }
                Ok(AcquireOutcome::Granted(Grant { token, left: answer.duration(1)? }))
            }
            "held" => {
                let LockRecord { token, lease, .. } = answer.record(name)?;
                let (token, lease) = token.zip(lease).ok_or_else(strange)?;
                Ok(AcquireOutcome::Held(Held { holder: lease.holder, token, left: lease.left }))
            }
            "disabled" => {
                let disabled = answer.record(name)?.disabled.ok_or_else(strange)?;
                Ok(AcquireOutcome::Disabled(disabled))
            }
            _ => Err(strange()),
        }
    }

    /// Gives a grant back that too few replicas have.
    async fn check_replicas(
        &self,
        name: &LockName,
        lease: LeaseId,
        reached: RedisResult<Value>,
    ) -> Result<()> {
        let wanted = i64::from(self.wait_replicas);
        let (reached, cause) = match reached {
            Ok(Value::Int(reached)) => (reached, None),
            Ok(_) => (0, None),
            // As when the primary was made a replica meanwhile.
            Err(cause) => (0, Some(cause)),
        };
        if reached >= wanted {
            return Ok(());
        }
        self.release(name, lease).await.map_err(|cause| {
            Error::new(
                ErrorKind::OutcomeUnknown,
                "too few replicas have the grant, nor was it given back",
            )
            .with_source(cause)
        })?;
        let error = Error::new(
            ErrorKind::Unavailable,
            format!("{reached} of the {wanted} replicas that wait_replicas asks for had the grant in time"),
        )
        .with_fix("are they up and connected (INFO replication), and may this user WAIT? Or ask for fewer");
        Err(match cause {
            Some(cause) => error.with_source(cause),
            None => error,
        })
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let answer = self.run(&scripts::RELEASE, name, &[&lease.to_string()]).await?;
        match &*answer.word {
            "released" => Ok(ReleaseOutcome::Released),
            "not_held" => Ok(ReleaseOutcome::NotHeld),
            _ => Err(strange()),
        }
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let call = |RenewOptions { name, lease, ttl }: &RenewOptions| {
            self.script(&scripts::RENEW, name, &[&lease.to_string(), &micros(*ttl)])
        };
        let calls: Vec<_> = leases.iter().map(call).collect();
        let answers = self.link.call_all(&calls).await?;
        leases.iter().zip(answers).map(|(lease, answer)| renewed(&lease.name, answer)).collect()
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let mut more = vec![options.reason.as_str()];
        more.extend(options.by.as_deref());
        let answer = self.run(&scripts::DISABLE, name, &more).await?;
        match &*answer.word {
            "disabled" => Ok(DisableOutcome::Disabled),
            "already" => {
                let disabled = answer.record(name)?.disabled.ok_or_else(strange)?;
                Ok(DisableOutcome::AlreadyDisabled(disabled))
            }
            _ => Err(strange()),
        }
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        match &*self.run(&scripts::ENABLE, name, &[]).await?.word {
            "enabled" => Ok(EnableOutcome::Enabled),
            "already" => Ok(EnableOutcome::AlreadyEnabled),
            _ => Err(strange()),
        }
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let answer = self.run(&scripts::READ, name, &[]).await?;
        if answer.word == "none" { Ok(None) } else { answer.record(name).map(Some) }
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        if options.limit == 0 {
            return Ok(Vec::new());
        }
        let names = list::names(&self.link, &self.keys, &options.prefix).await?;
        let after = |name: &&LockName| options.after.as_ref().is_none_or(|after| *name > after);
        let names: Vec<_> = names.iter().filter(after).take(options.limit).collect();
        let mut records = Vec::with_capacity(names.len());
        for names in names.chunks(500) {
            let calls: Vec<_> =
                names.iter().map(|name| self.script(&scripts::READ, name, &[])).collect();
            for (name, answer) in names.iter().zip(self.link.call_all(&calls).await?) {
                let answer = answer.map_err(|error| error.for_lock(name))?;
                let answer = whole(name, answer)?;
                if answer.word != "none" {
                    records.push(answer.record(name)?);
                }
            }
        }
        Ok(records)
    }
}

/// The answer to a call for that name, unless the record is damaged.
fn whole(name: &LockName, value: Value) -> Result<Answer> {
    let answer = Answer::new(value)?;
    if answer.word == "damaged" {
        answer.record(name)?;
    }
    Ok(answer)
}

/// A damaged record must not cost the others their leases: its own is as good as lost. An answer
/// that is none of the script's says nothing of the lease.
pub(super) fn renewed(name: &LockName, value: Result<Value>) -> Result<RenewOutcome> {
    let as_good_as_lost = |error: Error| {
        let error = error.for_lock(name);
        tracing::error!(%error, "a lease cannot be renewed");
        RenewOutcome::Lost
    };
    let answer = match value {
        // What is at the key is not ours.
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(as_good_as_lost(error)),
        value => Answer::new(value?)?,
    };
    match &*answer.word {
        "extended" => Ok(RenewOutcome::Extended { left: answer.duration(0)? }),
        "lost" => Ok(RenewOutcome::Lost),
        "ending" => {
            let left = answer.duration(1)?;
            let reason = answer.reason(name);
            Ok(reason
                .map_or_else(as_good_as_lost, |reason| RenewOutcome::Disabled { reason, left }))
        }
        "damaged" => {
            answer.record(name).map_or_else(|e| Ok(as_good_as_lost(e)), |_| Err(strange()))
        }
        _ => Err(strange()),
    }
}

fn micros(ttl: Duration) -> String {
    ttl.as_nanos().div_ceil(1000).to_string()
}

#[async_trait]
impl LockStore for RedisStore {
    fn label(&self) -> &str {
        &self.shared.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: Duration::from_millis(50),
            ttl_step: Duration::from_micros(1),
            clock: StoreClock::Server,
            reach: Reach::Network,
            wake: Wake::Push,
            renew_batch: 500,
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let about = about("acquire", self.label(), Some(name));
        check_ttl(options.ttl, &self.capabilities()).map_err(&about)?;
        limit::writing(self.shared.acquire(name, options)).await.map_err(about)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        for RenewOptions { name, ttl, .. } in leases {
            let about = about("renew", self.label(), Some(name));
            check_ttl(*ttl, &self.capabilities()).map_err(about)?;
        }
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.renew(leases).await.map_err(about("renew", self.label(), None))
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let released = self.shared.release(name, lease).await;
        released.map_err(about("release", self.label(), Some(name)))
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let disabled = self.shared.disable(name, options).await;
        disabled.map_err(about("disable", self.label(), Some(name)))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let enabled = self.shared.enable(name).await;
        enabled.map_err(about("enable", self.label(), Some(name)))
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let found = self.shared.get(name).await.map_err(error::reading);
        found.map_err(about("get", self.label(), Some(name)))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let found = self.shared.list(options).await.map_err(error::reading);
        found.map_err(about("list", self.label(), None))
    }

    async fn prune(&self, _options: &crate::PruneOptions) -> Result<Vec<LockName>> {
        Err(crate::Error::new(crate::ErrorKind::Unsupported, "this store cannot prune yet"))
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        let about = about("announce", self.label(), None);
        check_ttl(ttl, &self.capabilities()).map_err(&about)?;
        let Shared { instances, link, .. } = &*self.shared;
        instances.announce(link, presence, ttl).await.map_err(about)
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let withdrawn = self.shared.instances.withdraw(&self.shared.link, instance).await;
        withdrawn.map_err(about("withdraw", self.label(), None))
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        let Shared { instances, link, label, .. } = &*self.shared;
        let known = instances.known(link, label).await.map_err(error::reading);
        known.map_err(about("instances", label, None))
    }

    async fn watch(&self) -> Result<HintStream> {
        let place = Arc::clone(self.shared.link.place());
        let hints = watch::hints(place, self.shared.channel.clone()).await;
        hints.map_err(about("watch", self.label(), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_reason_costs_no_other_its_lease() {
        let name = LockName::new("a").unwrap();
        let ending = |reason: &[u8]| {
            let parts = [b"ending", reason, b"5"].map(|part| Value::BulkString(part.to_vec()));
            renewed(&name, Ok(Value::Array(parts.to_vec())))
        };
        for damaged in [&b""[..], b"\xff", b"a\0b", &[b'x'; 1025]] {
            assert_eq!(ending(damaged).unwrap(), RenewOutcome::Lost);
        }
        let strange = Value::Array(vec![Value::BulkString(b"what".to_vec())]);
        assert!(renewed(&name, Ok(strange)).is_err());
        let told = ending(b"upkeep").unwrap();
        assert!(
            matches!(told, RenewOutcome::Disabled { reason, .. } if reason.as_str() == "upkeep")
        );
    }
}

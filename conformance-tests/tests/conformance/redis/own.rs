//! Cases of Redis and Valkey alone.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a case fails by a panic, with the place"
)]

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::redis::RedisStore;
use leasehold_conformance::{CaseResult, Client, OwnCase};
use leasehold_core::{
    ErrorKind, Hint, ListOptions, LockName, Namespace, RenewOptions, RenewOutcome, Result,
};

use super::place::Place;
use super::{Redis, options};

pub(super) const CASES: &[OwnCase<Redis>] = &[
    ("own::users_and_their_rights", |this| Box::pin(users(this))),
    ("own::what_is_not_ours_is_left_alone", |this| Box::pin(foreign_keys(this))),
    ("own::forgotten_scripts_come_back", |this| Box::pin(forgotten_scripts(this))),
    ("own::a_server_that_restarts", |this| Box::pin(restart(this))),
    ("own::replicas_that_are_waited_for", |this| Box::pin(replicas(this))),
    ("own::a_cluster", |this| Box::pin(cluster(this))),
];

const TTL: Duration = Duration::from_secs(90);

fn new_namespace() -> Result<Namespace> {
    Namespace::new(format!("own_{:016x}", fastrand::u64(..)))
}

async fn open(url: &str, namespace: &Namespace) -> Result<Client> {
    Ok(Client::new(Arc::new(RedisStore::connect(url, &options(namespace)).await?)))
}

async fn refusal(url: &str, namespace: &Namespace) -> ErrorKind {
    RedisStore::connect(url, &options(namespace)).await.expect_err("it opens").kind()
}

async fn users(this: Arc<Redis>) -> CaseResult {
    let (place, namespace) = (Place::start(this.image, &[]).await?, new_namespace()?);
    let (keys, channel) = (format!("~{namespace}:lock:*"), format!("&{namespace}:hints"));
    // The line of the operator's page.
    let line = "ACL SETUSER leasehold reset on >secret KEYS CHANNEL -@all +eval +evalsha +time \
                +hgetall +hset +hdel +publish +subscribe +unsubscribe +ping +scan";
    let line = line.replace("KEYS", &keys).replace("CHANNEL", &channel);
    place.run(&line.split_whitespace().collect::<Vec<_>>()).await?;
    let client = open(&place.url_as("leasehold", "secret"), &namespace).await?;
    let _hints = client.store().watch().await?;
    let taken = client.take(&LockName::new("job")?, TTL).await?;
    client.store().list(&Default::default()).await?;
    client.give_back(&taken).await?;
    let wrong = place.url_as("leasehold", "wrong");
    assert_eq!(refusal(&wrong, &namespace).await, ErrorKind::Denied);
    let other = refusal(&place.url_as("leasehold", "secret"), &new_namespace()?).await;
    assert_eq!(other, ErrorKind::Denied);
    place.run(&["ACL", "SETUSER", "default", "resetpass", ">other"]).await?;
    assert_eq!(refusal(place.url(), &namespace).await, ErrorKind::Denied);
    Ok(())
}

async fn foreign_keys(this: Arc<Redis>) -> CaseResult {
    let (place, namespace) = (this.place().await?, new_namespace()?);
    let client = open(place.url(), &namespace).await?;
    let good = client.take(&LockName::new("good")?, TTL).await?;
    let key = |name: &str| format!("{namespace}:lock:{name}");
    place.run(&["SET", &key("text"), "mine"]).await?;
    place.run(&["HSET", &key("hash"), "mine", "1"]).await?;
    place.run(&["HSET", &key("half"), "token", "7", "lease", "x"]).await?;
    let mut batch = vec![RenewOptions { name: good.name.clone(), lease: good.lease, ttl: TTL }];
    for name in ["text", "hash", "half"] {
        let name = LockName::new(name)?;
        let before = place.run(&["DUMP", &key(name.as_str())]).await?;
        let error = client.take(&name, TTL).await.expect_err("it is granted");
        assert!(format!("{error:?}").contains("the key of "), "{error:?}");
        let error = client.store().get(&name).await.expect_err("it is read");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(name.as_str()), "{error}");
        batch.push(RenewOptions { name: name.clone(), lease: good.lease, ttl: TTL });
        assert_eq!(place.run(&["DUMP", &key(name.as_str())]).await?, before);
    }
    let renewed = client.store().renew(&batch).await?;
    assert!(matches!(renewed[0], RenewOutcome::Extended { .. }), "{renewed:?}");
    assert!(renewed[1..].iter().all(|one| *one == RenewOutcome::Lost), "{renewed:?}");
    Ok(())
}

async fn forgotten_scripts(this: Arc<Redis>) -> CaseResult {
    let (place, namespace) = (Place::start(this.image, &[]).await?, new_namespace()?);
    let client = open(place.url(), &namespace).await?;
    let taken = client.take(&LockName::new("job")?, TTL).await?;
    place.run(&["SCRIPT", "FLUSH"]).await?;
    let one = RenewOptions { name: taken.name.clone(), lease: taken.lease, ttl: TTL };
    let renewed = client.store().renew(&[one]).await?;
    assert!(matches!(renewed[0], RenewOutcome::Extended { .. }), "{renewed:?}");
    place.run(&["SCRIPT", "FLUSH"]).await?;
    client.give_back(&taken).await?;
    Ok(())
}

async fn restart(this: Arc<Redis>) -> CaseResult {
    let (place, namespace) =
        (Place::start(this.image, &["--appendfsync", "always"]).await?, new_namespace()?);
    let client = open(place.url(), &namespace).await?;
    let taken = client.take(&LockName::new("job")?, TTL).await?;
    place.server()?.stop().await?;
    let down = client.store().get(&taken.name).await.expect_err("it answers");
    assert!(down.is_unavailable(), "{down}");
    place.restart().await?;
    let one = RenewOptions { name: taken.name.clone(), lease: taken.lease, ttl: TTL };
    let mut renewed = client.store().renew(std::slice::from_ref(&one)).await;
    for _ in 0..100 {
        if renewed.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        renewed = client.store().renew(std::slice::from_ref(&one)).await;
    }
    assert!(matches!(renewed?[0], RenewOutcome::Extended { .. }));
    client.give_back(&taken).await?;
    let again = client.take(&taken.name, TTL).await?;
    client.give_back(&again).await?;
    Ok(())
}

async fn replicas(this: Arc<Redis>) -> CaseResult {
    let (place, namespace) = (Place::start(this.image, &[]).await?, new_namespace()?);
    let url = format!("{}?wait_replicas=1", place.url());
    let name = LockName::new("job")?;
    let client = open(&url, &namespace).await?;
    let error = client.take(&name, TTL).await.expect_err("no replica has it");
    assert!(format!("{error:?}").contains("wait_replicas"), "{error:?}");
    let record = client.store().get(&name).await?.expect("it was granted");
    assert!(record.lease.is_none(), "{record:?}");
    Ok(())
}

/// Of one node, which is as much of a cluster as one container can be.
async fn cluster(this: Arc<Redis>) -> CaseResult {
    let place = Place::start(this.image, &["--cluster-enabled", "yes"]).await?;
    let (host, port) = place.address().split_once(':').expect("an address");
    place.run(&["CONFIG", "SET", "cluster-announce-ip", host]).await?;
    place.run(&["CONFIG", "SET", "cluster-announce-port", port]).await?;
    place.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await?;
    let url = format!("redis+cluster://{}", place.address());
    let namespace = new_namespace()?;
    let mut opened = open(&url, &namespace).await;
    for _ in 0..100 {
        if opened.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        opened = open(&url, &namespace).await;
    }
    let client = opened?;
    let mut hints = client.store().watch().await?;
    let mut batch = Vec::new();
    for number in 0..20 {
        let name = LockName::new(format!("job {number:02}"))?;
        let taken = client.take(&name, TTL).await?;
        batch.push(RenewOptions { name, lease: taken.lease, ttl: TTL });
    }
    let renewed = client.store().renew(&batch).await?;
    let extended = |one: &RenewOutcome| matches!(one, RenewOutcome::Extended { .. });
    assert!(renewed.iter().all(extended), "{renewed:?}");
    let listed = client.store().list(&ListOptions::default()).await?;
    assert!(listed.iter().map(|record| &record.name).eq(batch.iter().map(|one| &one.name)));
    client.store().release(&batch[0].name, batch[0].lease).await?;
    let hint = tokio::time::timeout(Duration::from_secs(30), hints.next()).await;
    assert_eq!(hint.expect("no hint comes"), Some(Hint::Name(batch[0].name.clone())));
    Ok(())
}

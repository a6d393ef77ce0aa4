//! These cases cover the queues of locks: the clock, damaged records, hints, memory and replicas.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_conformance::expect::{conflict, granted, holds, lost, not_extended, queued, waits};
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{
    AcquireOutcome, EnterOptions, ErrorKind, Hint, LeaseId, LockKind, LockName, LockState,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};
use redis::FromRedisValue;
use tokio::time::timeout;

use super::Redis;
use super::endpoint::Endpoint;
use super::support::{LONG, fresh, name, open};

const NIL: &str = "00000000-0000-0000-0000-000000000000";

fn attempt(client: &Client, lease: LeaseId, ttl: Duration) -> EnterOptions {
    EnterOptions::new(lease, client.holder().clone(), ttl, LockKind::Fair)
}

async fn enter(client: &Client, name: &LockName, lease: LeaseId) -> Result<AcquireOutcome> {
    client.store().enter(name, &attempt(client, lease, LONG)).await
}

fn renewal(name: &LockName, lease: LeaseId) -> RenewOptions {
    RenewOptions::new(name.clone(), lease, LONG).of_entry(true)
}

async fn renew(client: &Client, name: &LockName, lease: LeaseId) -> Result<RenewOutcome> {
    Ok(client.store().renew(&[renewal(name, lease)]).await?.remove(0))
}

async fn field(endpoint: &Endpoint, key: &str, field: &str) -> CaseResult<Option<String>> {
    Ok(Option::from_redis_value(endpoint.run(&["HGET", key, field]).await?)?)
}

/// A renewal that waits at the server is decided by the clock after that wait.
pub(super) async fn a_renewal_that_waited_revives_no_entry(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let (job, first, second) = (name("job"), LeaseId::new(), LeaseId::new());
    let short = attempt(&client, first, Duration::from_millis(500));
    granted(client.store().enter(&job, &short).await?);
    let waiting = attempt(&client, second, LONG);
    client.store().enter(&job, &waiting).await?;
    // The server postpones what it gets until then.
    endpoint.run(&["CLIENT", "PAUSE", "1500", "ALL"]).await?;
    lost(renew(&client, &job, first).await?);
    holds(renew(&client, &job, second).await?);
    assert_eq!(client.store().leave(&job, first).await?, ReleaseOutcome::NotHeld);
    Ok(())
}

pub(super) async fn a_corrupt_queue_affects_only_its_own_name(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let (damaged, sound, other) = (name("damaged"), name("sound"), LeaseId::new());
    granted(enter(&client, &sound, other).await?);
    let key = format!("{namespace}:lock:damaged");
    let edits: [(&str, &str, &str); 12] = [
        ("kind", "fair", "exclusive"),
        ("kind", "fair", "semaphore:03"),
        ("queue", "{", "["),
        ("queue", "{", "\n{"),
        ("queue", "\"l\":\"", "\"l\":\"x"),
        ("queue", "\"p\":", "\"p\":0"),
        ("queue", "\"w\":1", "\"w\":2"),
        ("queue", "\"t\":", "\"t\":-"),
        ("queue", "\"x\":1", "\"x\":2"),
        ("queue", "\"h\":{", "\"h\":7,\"z\":{"),
        ("queue", ",\"w\"", ", \"w\""),
        ("token", "1", ""),
    ];
    for (field_name, part, replacement) in edits {
        endpoint.run(&["DEL", &key]).await?;
        let lease = LeaseId::new();
        granted(enter(&client, &damaged, lease).await?);
        let value = field(&endpoint, &key, field_name).await?.expect("it is written");
        let changed = value.replacen(part, replacement, 1);
        assert_ne!(value, changed, "{field_name}");
        endpoint.run(&["HSET", &key, field_name, &changed]).await?;
        let case = format!("{field_name}: {changed}");
        let before = endpoint.run(&["HGETALL", &key]).await?;
        let shown = client.get(&damaged).await?.map(|record| record.state());
        assert_eq!(shown, Some(LockState::Corrupt), "{case}");
        let options = client.options(LeaseId::new(), LONG);
        for error in [
            client.store().acquire(&damaged, &options).await.expect_err(&case),
            enter(&client, &damaged, LeaseId::new()).await.expect_err(&case),
            client.store().leave(&damaged, lease).await.expect_err(&case),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{case}: {error}");
        }
        let batch = [renewal(&damaged, lease), renewal(&sound, other)];
        let mut outcomes = client.store().renew(&batch).await?;
        holds(outcomes.pop().expect("the sound lock has an outcome"));
        assert!(matches!(outcomes[..], [RenewOutcome::Unknown { .. }]), "{case}: {outcomes:?}");
        assert_eq!(endpoint.run(&["HGETALL", &key]).await?, before, "{case}");
    }
    endpoint.run(&["DEL", &key, &format!("{namespace}:lock:sound")]).await?;
    Ok(())
}

/// An exclusive grant does not remove what an expired queue has left. A release does.
pub(super) async fn an_earlier_queue_of_a_record_has_no_effect(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let (job, entry, key) = (name("job"), LeaseId::new(), format!("{namespace}:lock:job"));
    granted(enter(&client, &job, entry).await?);
    endpoint.run(&["HSET", &key, "expires_at", "1", "queue", "damaged"]).await?;
    let taken = client.acquire_free(&job, LONG).await?;
    assert_eq!(client.holder_of(&job).await?, Some(taken.lease));
    lost(renew(&client, &job, entry).await?);
    assert_eq!(client.store().leave(&job, entry).await?, ReleaseOutcome::NotHeld);
    conflict(enter(&client, &job, entry).await);
    client.release_held(&taken).await?;
    for removed in ["lease", "kind", "queue"] {
        assert_eq!(field(&endpoint, &key, removed).await?, None, "{removed}");
    }
    assert!(granted(enter(&client, &job, entry).await?).token > taken.token);
    assert_eq!(client.store().leave(&job, entry).await?, ReleaseOutcome::Released);
    let left = endpoint.run(&["HKEYS", &key]).await?;
    assert_eq!(Vec::<String>::from_redis_value(left)?, ["token"]);
    endpoint.run(&["DEL", &key]).await?;
    Ok(())
}

/// An earlier program reads the fields of a lease only.
pub(super) async fn an_earlier_program_finds_the_name_held(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let (job, key) = (name("job"), format!("{namespace}:lock:job"));
    let [first, second] = [LeaseId::new(), LeaseId::new()];
    granted(enter(&client, &job, first).await?);
    queued(enter(&client, &job, second).await?);
    let holder = serde_json::to_string(client.holder())?;
    for left in [true, false] {
        assert_eq!(field(&endpoint, &key, "lease").await?.as_deref(), Some(NIL));
        assert_eq!(field(&endpoint, &key, "holder").await?.as_ref(), Some(&holder));
        for present in ["token", "granted_at", "expires_at"] {
            assert!(field(&endpoint, &key, present).await?.is_some(), "{present}");
        }
        // Its renewal and release of an exclusive lock do not concern the entries.
        lost(client.renew(&job, first, LONG).await?);
        assert_eq!(client.release(&job, first).await?, ReleaseOutcome::NotHeld);
        if left {
            client.store().leave(&job, first).await?;
        }
    }
    endpoint.run(&["DEL", &key]).await?;
    Ok(())
}

/// A later version may add parts of an entry before its holder.
pub(super) async fn added_parts_of_an_entry_are_kept(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let (job, key) = (name("job"), format!("{namespace}:lock:job"));
    let [first, second] = [LeaseId::new(), LeaseId::new()];
    granted(enter(&client, &job, first).await?);
    let queue = field(&endpoint, &key, "queue").await?.expect("it has an entry");
    let added = "\"later\":[1,\"x\"],";
    let queue = queue.replacen("\"h\":", &format!("{added}\"h\":"), 1);
    endpoint.run(&["HSET", &key, "queue", &queue]).await?;
    holds(renew(&client, &job, first).await?);
    for reason in ["up\"keep\" \\ \n é", "later"] {
        client.disable(&job, reason).await?;
        client.enable(&job).await?;
        // Entering moves the reason into the entries that were there.
        enter(&client, &job, LeaseId::new()).await?;
        let (told, _) = not_extended(renew(&client, &job, first).await?);
        assert_eq!(told.as_str(), reason);
    }
    queued(enter(&client, &job, second).await?);
    waits(renew(&client, &job, second).await?);
    let queue = field(&endpoint, &key, "queue").await?.expect("it has entries");
    assert_eq!(queue.matches(added).count(), 1, "{queue}");
    endpoint.run(&["DEL", &key]).await?;
    Ok(())
}

pub(super) async fn hints_name_the_entries_that_hold_the_lock(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let job = name("a\nb,c ");
    let [first, second, third] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
    for lease in [first, second, third] {
        enter(&client, &job, lease).await?;
    }
    let mut hints = client.watch().await?;
    client.store().renew(&[renewal(&job, first), renewal(&job, second)]).await?;
    // Nobody holds the lock because of this, so there is no hint.
    client.store().leave(&job, third).await?;
    client.store().leave(&job, first).await?;
    let hint = timeout(LONG, hints.next()).await?;
    assert_eq!(hint, Some(Hint::Entries(job.clone(), vec![second])));
    client.disable(&job, "upkeep").await?;
    client.enable(&job).await?;
    client.store().leave(&job, second).await?;
    for _ in 0..3 {
        assert_eq!(timeout(LONG, hints.next()).await?, Some(Hint::Name(job.clone())));
    }
    endpoint.run(&["DEL", &format!("{namespace}:lock:{job}")]).await?;
    Ok(())
}

pub(super) async fn entries_are_kept_when_the_server_is_out_of_memory(
    backend: Arc<Redis>,
) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let (job, [first, second]) = (name("job"), [LeaseId::new(), LeaseId::new()]);
    let token = granted(enter(&client, &job, first).await?).token;
    queued(enter(&client, &job, second).await?);
    endpoint.run(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    let refused = enter(&client, &job, LeaseId::new()).await.expect_err("no memory");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert_eq!(granted(enter(&client, &job, first).await?).token, token);
    holds(renew(&client, &job, first).await?);
    waits(renew(&client, &job, second).await?);
    assert_eq!(client.store().leave(&job, first).await?, ReleaseOutcome::Released);
    holds(renew(&client, &job, second).await?);
    assert_eq!(client.store().leave(&job, second).await?, ReleaseOutcome::Released);
    Ok(())
}

pub(super) async fn entries_of_a_queue_share_one_script(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let endpoint = Endpoint::start(backend.image, &[]).await?;
    let client = open(endpoint.url(), &fresh()).await?;
    let mut batch = Vec::new();
    for queue in ["a", "b"].map(name) {
        for _ in 0..20 {
            let lease = LeaseId::new();
            enter(&client, &queue, lease).await?;
            batch.push(renewal(&queue, lease));
        }
    }
    // The first call of a script loads it.
    client.store().renew(&batch).await?;
    let scripts = async || {
        let reply = String::from_redis_value(endpoint.run(&["INFO", "commandstats"]).await?)?;
        let calls = reply.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        let calls = calls.and_then(|rest| rest.split(',').next()).unwrap_or("0");
        CaseResult::Ok(calls.parse::<u64>()?)
    };
    let before = scripts().await?;
    let outcomes = client.store().renew(&batch).await?;
    assert_eq!(scripts().await? - before, 2);
    for (at, outcome) in outcomes.into_iter().enumerate() {
        match at % 20 {
            0 => _ = holds(outcome),
            ahead => assert_eq!(waits(outcome).1, ahead),
        }
    }
    Ok(())
}

pub(super) async fn an_entry_that_no_replica_confirmed_is_removed(
    backend: Arc<Redis>,
) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let client = open(&format!("{}?wait_replicas=1", endpoint.url()), &namespace).await?;
    let error = enter(&client, &name("job"), LeaseId::new()).await.expect_err("no replica");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("wait_replicas"), "{error:?}");
    let record = client.get(&name("job")).await?.expect("it had an entry");
    assert!(!record.is_in_use(), "{record:?}");
    // An entry that was confirmed is kept, but an extension that was not is unknown.
    let (plain, lease) = (open(endpoint.url(), &namespace).await?, LeaseId::new());
    granted(enter(&plain, &name("job"), lease).await?);
    let outcome = renew(&client, &name("job"), lease).await?;
    assert!(matches!(outcome, RenewOutcome::Unknown { .. }), "{outcome:?}");
    lost(renew(&client, &name("job"), LeaseId::new()).await?);
    Ok(())
}

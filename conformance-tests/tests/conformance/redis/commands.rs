//! These cases count the commands that the server runs, those in scripts included.

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::extended;
use leasehold_core::RenewOptions;

use super::Redis;
use super::endpoint::Endpoint;
use super::support::{LONG, fresh, name, open};

/// These commands open or test a connection, or count the others.
const UNCOUNTED: [&str; 5] = ["client", "hello", "info", "ping", "role"];

const REPEATS: u64 = 20;

/// How often each command was run.
type Counts = BTreeMap<String, u64>;

async fn counts(endpoint: &Endpoint) -> CaseResult<Counts> {
    let reply = endpoint.run(&["INFO", "commandstats"]).await?;
    let reply = <String as redis::FromRedisValue>::from_redis_value(reply)?;
    let count = |line: &str| {
        let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = rest.split(',').next()?.parse::<u64>().ok()?;
        let is_counted = !UNCOUNTED.contains(&command.split('|').next()?);
        is_counted.then(|| (command.to_owned(), calls))
    };
    Ok(reply.lines().filter_map(count).collect())
}

/// Returns the commands since those counts.
async fn since(before: &Counts, endpoint: &Endpoint) -> CaseResult<Counts> {
    let more = |(command, calls): (String, u64)| {
        let more = calls - before.get(&command).copied().unwrap_or(0);
        (more > 0).then_some((command, more))
    };
    Ok(counts(endpoint).await?.into_iter().filter_map(more).collect())
}

fn repeated<const N: usize>(commands: [(&str, u64); N]) -> Counts {
    commands.map(|(command, calls)| (command.to_owned(), calls * REPEATS)).into()
}

pub(super) async fn a_lock_runs_two_scripts_with_few_commands(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let endpoint = Endpoint::start(backend.image, &[]).await?;
    let client = open(endpoint.url(), &fresh()).await?;
    let use_lock = async || {
        let taken = client.acquire_free(&name("job"), LONG).await?;
        client.release_held(&taken).await
    };
    // The first call of each script loads it.
    use_lock().await?;
    let before = counts(&endpoint).await?;
    for _ in 0..REPEATS {
        use_lock().await?;
    }
    let expected = repeated([
        ("evalsha", 2),
        ("hdel", 1),
        ("hgetall", 2),
        ("hset", 2),
        ("publish", 1),
        ("time", 2),
    ]);
    assert_eq!(since(&before, &endpoint).await?, expected);
    Ok(())
}

pub(super) async fn a_renewal_runs_one_script_with_three_commands(
    backend: Arc<Redis>,
) -> CaseResult {
    backend.needs_containers()?;
    let endpoint = Endpoint::start(backend.image, &[]).await?;
    let client = open(endpoint.url(), &fresh()).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    extended(client.renew(&taken.name, taken.lease, LONG).await?);
    let before = counts(&endpoint).await?;
    for _ in 0..REPEATS {
        extended(client.renew(&taken.name, taken.lease, LONG).await?);
    }
    let expected = repeated([("evalsha", 1), ("hgetall", 1), ("hset", 1), ("time", 1)]);
    assert_eq!(since(&before, &endpoint).await?, expected);
    Ok(())
}

pub(super) async fn a_hundred_renewals_share_a_script(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let endpoint = Endpoint::start(backend.image, &[]).await?;
    let client = open(endpoint.url(), &fresh()).await?;
    let mut batch = Vec::new();
    for number in 0..250 {
        let taken = client.acquire_free(&name(&format!("job {number}")), LONG).await?;
        batch.push(RenewOptions::new(taken.name, taken.lease, LONG));
    }
    // The first call of each script loads it.
    extended(client.renew(&batch[0].name, batch[0].lease, LONG).await?);
    let before = counts(&endpoint).await?;
    for outcome in client.store().renew(&batch).await? {
        extended(outcome);
    }
    let expected = [("evalsha", 3), ("hgetall", 250), ("hset", 250), ("time", 3)];
    let expected = expected.map(|(command, calls)| (command.to_owned(), calls));
    assert_eq!(since(&before, &endpoint).await?, Counts::from(expected));
    Ok(())
}

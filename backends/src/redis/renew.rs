//! Renews leases, those of each server in one round trip.

use std::time::Duration;

use super::renewal_reply;
use super::request::Request;
use super::runtimes::Connections;
use super::script_runner::ScriptRunner;
use super::wait_pool::{REPLICA_TIMEOUT, WaitReply};
use crate::{Error, RenewOptions, RenewOutcome, Result};

/// Sends a request for each lease, and returns an outcome for each.
///
/// The failure of one server concerns only the leases on it. The outcome of a renewal that too few
/// replicas confirmed is unknown, since a failover could lose it.
pub(super) async fn renew(
    connections: &Connections,
    leases: &[&RenewOptions],
    requests: Vec<Request>,
) -> Result<Vec<Result<RenewOutcome>>> {
    let WaitReply { answers, missing } = send(connections, leases, requests).await?;
    let outcomes = leases.iter().zip(answers).map(|(lease, answer)| {
        let outcome = renewal_reply::outcome(&lease.name, lease.ttl, answer);
        replicated(outcome, missing.as_ref())
    });
    Ok(outcomes.collect())
}

/// Renews entries of queues, those of each queue by one request.
///
/// Failures are handled as in [`renew`]. The entries are in the order of their names.
pub(super) async fn renew_entries(
    runner: &ScriptRunner,
    entries: &[&RenewOptions],
) -> Result<Vec<Result<RenewOutcome>>> {
    let queues: Vec<_> = entries.chunk_by(|one, next| one.name == next.name).collect();
    let request = |queue: &&[&RenewOptions]| runner.renewal_of_entries(&queue[0].name, queue);
    let requests = queues.iter().map(request).collect();
    let WaitReply { answers, missing } = send(&runner.runtimes.here(), entries, requests).await?;
    let mut outcomes = Vec::with_capacity(entries.len());
    for (queue, answer) in queues.into_iter().zip(answers) {
        let record = renewal_reply::record(&queue[0].name, answer);
        for entry in queue {
            let outcome = match &record {
                Ok(Some(record)) => Ok(record.renew_entry_outcome(entry.lease)),
                Ok(None) => Ok(RenewOutcome::Lost),
                Err(error) => Err(error.clone()),
            };
            outcomes.push(replicated(outcome, missing.as_ref()));
        }
    }
    Ok(outcomes)
}

/// Sends requests that renew these leases.
async fn send(
    connections: &Connections,
    leases: &[&RenewOptions],
    requests: Vec<Request>,
) -> Result<WaitReply> {
    let shortest = leases.iter().map(|lease| lease.ttl).min().unwrap_or_default();
    match &connections.replicas {
        // This is less than the engine's default limit for a heartbeat, so that the engine gets
        // the reason.
        Some(replicas) => replicas.renew(&requests, REPLICA_TIMEOUT.min(shortest / 12)).await,
        None => {
            let limit = |latency| shard_limit(latency, shortest);
            let answers = connections.servers.call_all(requests, limit).await?;
            Ok(WaitReply { answers, missing: None })
        }
    }
}

/// Returns how long a node of a cluster may take for a batch of renewals: a small part of the
/// shortest ttl, or more if the node is known to be slow. So a node that hangs does not delay the
/// answers of the others for long.
fn shard_limit(latency: Duration, ttl: Duration) -> Duration {
    let least = (ttl / 40).clamp(Duration::from_millis(20), Duration::from_secs(1));
    least.max(latency.saturating_mul(4).min(ttl / 4))
}

/// Makes the outcome of an extension unknown if too few replicas confirmed it.
fn replicated(outcome: Result<RenewOutcome>, missing: Option<&Error>) -> Result<RenewOutcome> {
    match (outcome, missing) {
        (Ok(RenewOutcome::Extended { .. } | RenewOutcome::Queued { .. }), Some(missing)) => {
            let mut why = missing.to_string();
            let mut cause = std::error::Error::source(missing);
            while let Some(source) = cause {
                why = format!("{why}: {source}");
                cause = source.source();
            }
            Ok(RenewOutcome::unknown(why))
        }
        (outcome, _) => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn an_extension_that_too_few_replicas_confirmed_is_unknown() {
        let extended = || RenewOutcome::extended(Duration::from_secs(1));
        let queued = RenewOutcome::queued(Duration::from_secs(1), 1, Duration::ZERO);
        let missing = Error::new(ErrorKind::Unavailable, "0 of 1 replicas")
            .with_source(std::io::Error::other("NOREPLICAS"));
        let outcome = replicated(Ok(extended()), Some(&missing)).unwrap();
        assert_eq!(outcome, RenewOutcome::unknown("0 of 1 replicas: NOREPLICAS"));
        assert_eq!(replicated(Ok(extended()), None).unwrap(), extended());
        // An entry that waits is in the queue only as long as it is extended.
        let outcome = replicated(Ok(queued), Some(&missing)).unwrap();
        assert!(matches!(outcome, RenewOutcome::Unknown { .. }), "{outcome:?}");
        // A lost lease needs no confirmation by replicas.
        let lost = replicated(Ok(RenewOutcome::Lost), Some(&missing)).unwrap();
        assert_eq!(lost, RenewOutcome::Lost);
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

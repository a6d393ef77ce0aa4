//! A process that holds many leases.

use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use leasehold::{Client, Guard};
use tokio::time::sleep;

use super::job::{Beat, Held, Report};
use super::orders::Orders;
use super::usage;
use crate::counting_store::{Renewal, calls_between};
use crate::leasehold_client::LeaseholdClient;
use crate::monotonic;

/// At most this many acquires are in progress at a time.
const IN_FLIGHT: usize = 64;

/// The calls of one heartbeat follow each other sooner than this.
const PAUSE: Duration = Duration::from_millis(250);

/// Trust deadlines are looked at in this interval, at most so many at a time: to look at very many
/// takes some milliseconds, which the processor time of a heartbeat would include.
const LOOK: Duration = Duration::from_millis(500);
const MAX_LOOKED_AT: usize = 10_000;

pub(super) async fn run(
    url: &str,
    leases: usize,
    limit: Duration,
    orders: &mut Orders,
) -> Result<Report> {
    let (client, store) = LeaseholdClient::counted(url).await?;
    orders.ready().await?;
    orders.wait_for("go").await?;
    let memory = usage::memory();
    let guards = acquire(client.client(), leases, limit).await;
    let kibibytes = usage::memory().saturating_sub(memory);
    orders.ready().await?;
    orders.wait_for("count").await?;
    store.take_renewals();
    let (calls, used) = (store.calls(), monotonic::processor_time());
    let least_trust = watch_until_stop(&guards, orders).await?;
    let held = Held {
        acquired: guards.len(),
        lost: guards.iter().filter(|guard| !guard.is_held()).count(),
        kibibytes,
        least_trust,
        beats: beats(&store.take_renewals()),
    };
    let report = Report {
        calls: Some(calls_between(&calls, &store.calls())),
        processor_time: monotonic::processor_time().saturating_sub(used),
        connections: usage::connections(),
        held: Some(held),
        ..Report::default()
    };
    // The process ends now. Releasing the leases would take longer than letting them expire.
    std::mem::forget(guards);
    Ok(report)
}

/// Acquires the leases, or as many as it can within the limit.
async fn acquire(client: &Client, leases: usize, limit: Duration) -> Vec<Guard> {
    let acquire = |lease: usize| async move {
        let lock = client.lock(format!("bench-lease-{leases}-{lease}"))?;
        lock.acquire(limit).await
    };
    stream::iter(0..leases)
        .map(acquire)
        .buffer_unordered(IN_FLIGHT)
        .take_until(sleep(limit))
        .filter_map(|guard: leasehold::Result<Guard>| ready(guard.ok()))
        .collect()
        .await
}

/// Waits for the order `stop`, and returns the shortest time to a trust deadline until then.
async fn watch_until_stop(guards: &[Guard], orders: &mut Orders) -> Result<Duration> {
    let mut stop = pin!(orders.wait_for("stop"));
    let turns = guards.len().div_ceil(MAX_LOOKED_AT).max(1);
    let (mut least, mut turn) = (Duration::MAX, 0);
    loop {
        let now = guards.iter().skip(turn).step_by(turns).map(Guard::remaining).min();
        least = least.min(now.unwrap_or(Duration::MAX));
        turn = (turn + 1) % turns;
        tokio::select! {
            biased;
            stopped = &mut stop => return stopped.map(|()| least),
            () = sleep(LOOK) => {}
        }
    }
}

/// Puts the calls of each heartbeat together.
fn beats(renewals: &[Renewal]) -> Vec<Beat> {
    let mut beats: Vec<(Renewal, Beat)> = Vec::new();
    for renewal in renewals {
        match beats.last_mut() {
            Some((first, beat)) if renewal.started < first.started + beat.took + PAUSE => {
                beat.calls += 1;
                beat.leases += renewal.leases;
                let begin = renewal.started.max(first.started + beat.took);
                beat.busy += renewal.ended.saturating_sub(begin);
                beat.took = beat.took.max(renewal.ended.saturating_sub(first.started));
            }
            _ => {
                let took = renewal.ended.saturating_sub(renewal.started);
                let beat = Beat { calls: 1, leases: renewal.leases, took, busy: took };
                beats.push((*renewal, beat));
            }
        }
    }
    beats.into_iter().map(|(_, beat)| beat).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_without_a_pause_are_one_heartbeat() {
        let ms = Duration::from_millis;
        let renewal =
            |started, ended| Renewal { started: ms(started), ended: ms(ended), leases: 500 };
        let renewals = [renewal(0, 900), renewal(5, 40), renewal(950, 990), renewal(3000, 3010)];
        let first = Beat { calls: 3, leases: 1500, took: ms(990), busy: ms(940) };
        let second = Beat { calls: 1, leases: 500, took: ms(10), busy: ms(10) };
        assert_eq!(beats(&renewals), [first, second]);
    }
}

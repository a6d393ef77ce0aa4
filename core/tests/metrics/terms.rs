//! These tests cover the metrics of elections.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use leasehold_core::{Status, job_fn, job_from_fns};
use tokio::time::sleep;

use super::{HEARTBEAT_INTERVAL, Harness, SETTLE_TIME, changes, job, leads};

#[tokio::test(start_paused = true)]
async fn a_term_is_measured_from_start_to_stop() {
    let harness = Harness::new();
    let election = harness.elect(&harness.client(), job());
    leads(&election).await;
    assert_eq!(
        harness.take_changes(),
        changes([("leading{lock=a}", 1.0), ("terms_total{lock=a}", 1.0)])
    );
    sleep(HEARTBEAT_INTERVAL * 4 + SETTLE_TIME).await;
    let renewals = changes([
        ("renewal_time_to_deadline_seconds", 4.0),
        ("renewals_total{outcome=extended}", 4.0),
    ]);
    assert_eq!(harness.take_changes(), renewals);
    election.shutdown().await;
    let ended =
        changes([("leading{lock=a}", 0.0), ("terms_ended_total{lock=a,reason=shut_down}", 1.0)]);
    assert_eq!(harness.take_changes(), ended);
}

#[tokio::test(start_paused = true)]
async fn remaining_trust_at_renewal_is_recorded() {
    let harness = Harness::new();
    let election = harness.leading(job()).await;
    sleep(HEARTBEAT_INTERVAL + SETTLE_TIME).await;
    harness.store.state.renew_fails.store(true, SeqCst);
    sleep(HEARTBEAT_INTERVAL).await;
    harness.store.state.renew_fails.store(false, SeqCst);
    sleep(HEARTBEAT_INTERVAL / 2).await;
    let left = harness.recorder.recorded("renewal_time_to_deadline_seconds");
    // This is the ttl without its margin of a twentieth, minus the interval, and minus the half
    // interval until the retry.
    let expected = [14.25 - 3.0, 14.25 - 4.5];
    let near = |(left, expected): (&f64, f64)| (left - expected).abs() < 0.01;
    assert!(left.len() == 2 && left.iter().zip(expected).all(near), "{left:?}");
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn failed_heartbeats_are_counted() {
    let harness = Harness::new();
    let election = harness.leading(job()).await;
    harness.store.state.renew_fails.store(true, SeqCst);
    let stepped_down = |status: &Status| !status.is_leading();
    election.watch().wait_for(stepped_down).await.unwrap();
    let failed = changes([
        ("leading{lock=a}", 0.0),
        ("renewals_total{outcome=failed}", 4.0),
        ("terms_ended_total{lock=a,reason=heartbeats_failed}", 1.0),
    ]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), failed);
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_counted() {
    let harness = Harness::new();
    let election = harness.leading(job()).await;
    harness.release_held_lease().await;
    sleep(SETTLE_TIME).await;
    let lost = changes([
        ("renewals_total{outcome=lost}", 1.0),
        ("terms_ended_total{lock=a,reason=lost}", 1.0),
        ("terms_total{lock=a}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), lost, "the instance leads again");
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn disabled_gauge_follows_disable_and_enable() {
    let harness = Harness::new();
    let client = harness.client();
    let election = harness.leading(job()).await;
    client.disable("a", "upgrade").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let disabled = changes([
        ("disabled{lock=a}", 1.0),
        ("leading{lock=a}", 0.0),
        ("renewals_total{outcome=disabled}", 1.0),
        ("terms_ended_total{lock=a,reason=disabled}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), disabled);
    client.enable("a").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let enabled = changes([
        ("disabled{lock=a}", 0.0),
        ("leading{lock=a}", 1.0),
        ("terms_total{lock=a}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), enabled);
    client.disable("a", "upgrade").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    election.shutdown().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.recorder.value("disabled{lock=a}"), Some(0.0), "the instance has left");
}

#[tokio::test(start_paused = true)]
async fn an_overrunning_stop_is_counted() {
    let harness = Harness::new();
    let stuck = job_from_fns(|_| async { Ok(()) }, |_| std::future::pending::<()>());
    let election = harness.leading(stuck).await;
    let stopping = tokio::spawn(election.shutdown());
    sleep(Duration::from_secs(1)).await;
    let asked = changes([("terms_ended_total{lock=a,reason=shut_down}", 1.0)]);
    assert_eq!(harness.take_changes(), asked, "the job still runs");
    stopping.await.unwrap();
    let aborted = changes([("leading{lock=a}", 0.0), ("term_overruns_total{lock=a}", 1.0)]);
    assert_eq!(harness.take_changes(), aborted);
}

#[tokio::test(start_paused = true)]
async fn terms_ended_has_failed_and_resigned() {
    let harness = Harness::new();
    let failing = job_fn(|_| async { Err("no config".into()) });
    let election = harness.elect(&harness.client(), failing);
    sleep(Duration::from_millis(1)).await;
    let failed =
        changes([("terms_ended_total{lock=a,reason=failed}", 1.0), ("terms_total{lock=a}", 1.0)]);
    assert_eq!(harness.take_changes(), failed);
    election.shutdown().await;
    let election = harness.leading(job()).await;
    election.resign().await;
    let resigned =
        changes([("leading{lock=a}", 0.0), ("terms_ended_total{lock=a,reason=resigned}", 1.0)]);
    assert_eq!(harness.take_changes(), resigned);
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_takeover_is_counted_after_another_leader() {
    let harness = Harness::new();
    let first = harness.leading(job()).await;
    let second = harness.elect(&harness.client(), job());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.take_changes(), []);
    first.shutdown().await;
    leads(&second).await;
    let taken_over = changes([
        ("takeovers_total{lock=a}", 1.0),
        ("terms_ended_total{lock=a,reason=shut_down}", 1.0),
        ("terms_total{lock=a}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), taken_over);
    // The instance's next term follows its own term, so it is not a takeover.
    second.resign().await;
    leads(&second).await;
    assert_eq!(harness.recorder.value("takeovers_total{lock=a}"), Some(1.0));
    assert_eq!(harness.recorder.value("terms_total{lock=a}"), Some(3.0));
    second.shutdown().await;
}

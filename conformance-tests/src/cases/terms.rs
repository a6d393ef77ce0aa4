//! Promises `stop-before-others-start` and `one-stop-per-start`: each `start` has one `stop`, on
//! the same instance, before another starts.

use std::time::Duration;

use leasehold_core::{StopReason, election};
use tokio::time::timeout;

use super::engine::{campaign, client, gated, grace};
use crate::job_log::{Entry, JobBehaviour, JobLog};
use crate::{CaseResult, Ctx, Failure};

crate::case::cases! {
    StopBeforeOthersStart: [
        hanging_heartbeats_end_the_term_before_another_starts[SteadyMachine],
        an_overrunning_stop_is_aborted_before_another_starts[SteadyMachine],
    ],
    OneStopPerStart: [
        a_failed_start_is_stopped[SteadyMachine],
        a_panicking_start_is_stopped[SteadyMachine],
        resign_stops_the_term_before_another_starts[SteadyMachine],
        shutdown_stops_the_term_before_another_starts[SteadyMachine],
        disable_stops_the_term_with_its_reason[SteadyMachine],
        the_lease_is_released_only_after_stop[SteadyMachine],
        dropping_the_handle_stops_the_job_and_releases_the_lease[SteadyMachine],
    ],
}

fn works() -> JobBehaviour {
    JobBehaviour::Works(Duration::from_millis(50))
}

fn reason_of(log: &JobLog, instance: usize) -> Option<StopReason> {
    log.entries().into_iter().find_map(|entry| match entry {
        Entry::Stopping { instance: of, reason } if of == instance => Some(reason),
        _ => None,
    })
}

async fn started(log: &JobLog, by: usize) {
    log.wait_for(|entry| matches!(entry, Entry::Started { instance, .. } if *instance == by)).await;
}

/// The first instance leads, then its store hangs and the second instance takes over.
async fn cut_off(ctx: &Ctx, behaviour: JobBehaviour) -> CaseResult<JobLog> {
    let ((first, gate), second) = (gated(ctx).await?, client(ctx).await?);
    let log = JobLog::default();
    let leader = campaign(first.election("job")?, &log, 1, behaviour);
    started(&log, 1).await;
    let follower = campaign(second.election("job")?, &log, 2, works());
    gate.shut();
    started(&log, 2).await;
    log.assert_in_order();
    assert_eq!(reason_of(&log, 1), Some(StopReason::HeartbeatsFailed));
    gate.open();
    follower.shutdown().await;
    leader.shutdown().await;
    Ok(log)
}

async fn hanging_heartbeats_end_the_term_before_another_starts(ctx: Ctx) -> CaseResult {
    cut_off(&ctx, JobBehaviour::Works(grace(&ctx) / 2)).await?.assert_in_order();
    Ok(())
}

async fn an_overrunning_stop_is_aborted_before_another_starts(ctx: Ctx) -> CaseResult {
    cut_off(&ctx, JobBehaviour::NeverStops).await?;
    Ok(())
}

async fn fails(ctx: Ctx, behaviour: JobBehaviour, with: &str) -> CaseResult {
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let log = JobLog::default();
    let failing = campaign(first.election("job")?, &log, 1, behaviour);
    started(&log, 1).await;
    // The failing instance waits before it campaigns again.
    let other = campaign(second.election("job")?, &log, 2, works());
    started(&log, 2).await;
    failing.shutdown().await;
    other.shutdown().await;
    log.assert_in_order();
    match reason_of(&log, 1) {
        Some(StopReason::Failed { error }) if error.contains(with) => Ok(()),
        other => Err(Failure::new(format!("stopped because of {other:?}"))),
    }
}

async fn a_failed_start_is_stopped(ctx: Ctx) -> CaseResult {
    fails(ctx, JobBehaviour::FailsToStart, "told to fail").await
}

async fn a_panicking_start_is_stopped(ctx: Ctx) -> CaseResult {
    fails(ctx, JobBehaviour::PanicsAtStart, "told to panic").await
}

async fn resign_stops_the_term_before_another_starts(ctx: Ctx) -> CaseResult {
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let log = JobLog::default();
    let leader = campaign(first.election("job")?, &log, 1, works());
    started(&log, 1).await;
    let follower = campaign(second.election("job")?, &log, 2, works());
    leader.resign().await;
    assert!(!leader.status().is_leading());
    // The job of a term can end the term at once.
    assert_eq!(reason_of(&log, 1), Some(StopReason::Resigned));
    // An instance that resigned waits before it campaigns again. On a busy machine a follower may
    // need longer than that for its first attempt, and then finds the lock held again.
    while timeout(Duration::from_secs(10), started(&log, 2)).await.is_err() {
        leader.resign().await;
    }
    follower.shutdown().await;
    leader.shutdown().await;
    log.assert_in_order();
    Ok(())
}

async fn shutdown_stops_the_term_before_another_starts(ctx: Ctx) -> CaseResult {
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let log = JobLog::default();
    let leader = campaign(first.election("job")?, &log, 1, works());
    started(&log, 1).await;
    let follower = campaign(second.election("job")?, &log, 2, works());
    leader.shutdown().await;
    assert_eq!(reason_of(&log, 1), Some(StopReason::ShutDown));
    started(&log, 2).await;
    follower.shutdown().await;
    log.assert_in_order();
    assert_eq!(first.status("job").await?.lease, None, "nothing is left held");
    Ok(())
}

async fn disable_stops_the_term_with_its_reason(ctx: Ctx) -> CaseResult {
    let (leader, operator) = (client(&ctx).await?, client(&ctx).await?);
    let log = JobLog::default();
    let handle = campaign(leader.election("job")?, &log, 1, works());
    started(&log, 1).await;
    operator.disable("job", "upkeep").await?;
    log.wait_for(|entry| matches!(entry, Entry::Stopped { .. })).await;
    match reason_of(&log, 1) {
        Some(StopReason::Disabled { reason }) => assert_eq!(reason.as_str(), "upkeep"),
        other => return Err(Failure::new(format!("stopped because of {other:?}"))),
    }
    handle.shutdown().await;
    log.assert_in_order();
    Ok(())
}

async fn the_lease_is_released_only_after_stop(ctx: Ctx) -> CaseResult {
    let client = client(&ctx).await?;
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let (looking, note) = (client.clone(), seen.clone());
    let job = election::job_from_fns(
        |leadership: leasehold_core::Leadership| async move {
            leadership.cancelled().await;
            Ok(())
        },
        move |_| {
            let (looking, note) = (looking.clone(), note.clone());
            async move {
                let record = looking.status("job").await.unwrap();
                *note.lock() = record.lease.map(|lease| lease.holder);
            }
        },
    );
    let handle = client.election("job")?.spawn(job);
    handle.watch().wait_for(leasehold_core::election::Status::is_leading).await.unwrap();
    handle.shutdown().await;
    assert_eq!(seen.lock().as_ref(), Some(client.holder()));
    assert_eq!(client.status("job").await?.lease, None);
    Ok(())
}

async fn dropping_the_handle_stops_the_job_and_releases_the_lease(ctx: Ctx) -> CaseResult {
    let client = client(&ctx).await?;
    let log = JobLog::default();
    drop({
        let handle = campaign(client.election("job")?, &log, 1, works());
        started(&log, 1).await;
        handle
    });
    log.wait_for(|entry| matches!(entry, Entry::Stopped { .. })).await;
    log.assert_in_order();
    let guard = client.lock("job")?.acquire(Duration::from_secs(100)).await?;
    Ok(guard.release().await?)
}

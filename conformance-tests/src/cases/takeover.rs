//! Promise `prompt-takeover`: a takeover follows a release at once, and a crash when the lease
//! expires.

use std::time::{Duration, Instant};

use leasehold_core::Settings;

use super::engine::{campaign, client, ttl};
use crate::job_log::{Entry, JobBehaviour, JobLog};
use crate::{CaseResult, Ctx};

crate::case::cases! {
    PromptTakeover: [
        takeover_after_a_release_does_not_wait_for_the_lease,
        takeover_after_a_crash_waits_for_the_lease,
        disable_and_enable_between_heartbeats_end_the_term[SteadyMachine],
    ],
    StopBeforeOthersStart: [
        many_candidates_have_one_leader_at_a_time[SteadyMachine],
    ],
    ObserversFollow: [
        an_observer_sees_who_leads[SteadyMachine],
    ],
}

fn works() -> JobBehaviour {
    JobBehaviour::Works(Duration::ZERO)
}

/// Leases and poll intervals are longer than the case, so only a hint can wake the next leader.
async fn takeover_after_a_release_does_not_wait_for_the_lease(ctx: Ctx) -> CaseResult {
    let long_polls = Settings::new().ttl(ctx.long_ttl()).poll_interval(ctx.long_ttl());
    let log = JobLog::default();
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let leader = campaign(first.election("job")?.settings(&long_polls)?, &log, 1, works());
    log.wait_for_terms(1).await;
    let follower = campaign(second.election("job")?.settings(&long_polls)?, &log, 2, works());
    // The follower is a candidate once it has seen who leads.
    follower.watch().wait_for(|status| status.leader.is_some()).await.unwrap();
    tokio::time::sleep(ctx.hint_window()).await;
    leader.shutdown().await;
    log.wait_for_terms(2).await;
    follower.shutdown().await;
    log.assert_in_order();
    Ok(())
}

async fn takeover_after_a_crash_waits_for_the_lease(ctx: Ctx) -> CaseResult {
    let crashed = ctx.open().await?;
    let taken = crashed.acquire_free(&ctx.name("job"), ttl(&ctx)).await?;
    // A poll would come too late.
    let rarely = Settings::new().ttl(ctx.long_ttl()).poll_interval(ctx.long_ttl());
    let log = JobLog::default();
    let next = campaign(client(&ctx).await?.election("job")?.settings(&rarely)?, &log, 1, works());
    log.wait_for_terms(1).await;
    assert!(Instant::now() >= taken.trusted_until(), "taken over from a lease in force");
    next.shutdown().await;
    Ok(())
}

async fn disable_and_enable_between_heartbeats_end_the_term(ctx: Ctx) -> CaseResult {
    let (member, operator) = (client(&ctx).await?, client(&ctx).await?);
    let log = JobLog::default();
    let handle = campaign(member.election("job")?, &log, 1, works());
    let is_nudge = |entry: &Entry| match entry {
        Entry::Stopping { reason, .. } => reason.to_string().contains("a nudge"),
        _ => false,
    };
    // On a busy machine a term may end for another reason first.
    for terms in 1..=5 {
        log.wait_for_terms(terms).await;
        // This is usually so fast that no heartbeat falls in between.
        operator.disable("job", "a nudge").await?;
        operator.enable("job").await?;
        log.wait_for_terms(terms + 1).await;
        if log.entries().iter().any(is_nudge) {
            break;
        }
    }
    handle.shutdown().await;
    log.assert_in_order();
    assert!(log.entries().iter().any(is_nudge), "{:?}", log.entries());
    Ok(())
}

async fn many_candidates_have_one_leader_at_a_time(ctx: Ctx) -> CaseResult {
    const CANDIDATES: usize = 32;
    let log = JobLog::default();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(client(&ctx).await?);
    }
    let mut handles = Vec::new();
    for instance in 0..CANDIDATES {
        let election = clients[instance % clients.len()].election("job")?;
        handles.push(campaign(election, &log, instance, works()));
    }
    for terms in 1..=12 {
        log.wait_for_terms(terms).await;
        let leader = log.entries().into_iter().rev().find_map(|entry| match entry {
            Entry::Started { instance, .. } => Some(instance),
            _ => None,
        });
        handles[leader.expect("a term has started")].resign().await;
    }
    for handle in handles {
        handle.shutdown().await;
    }
    log.assert_in_order();
    Ok(())
}

async fn an_observer_sees_who_leads(ctx: Ctx) -> CaseResult {
    use futures_util::StreamExt;

    let (member, observer) = (client(&ctx).await?, client(&ctx).await?);
    let mut seen = observer.observe("job")?;
    let first = seen.next().await.expect("it never ends")?;
    assert_eq!((first.leader, first.disabled), (None, None));
    let log = JobLog::default();
    // The lease is so long that a busy machine does not end the term.
    let long = Settings::new().ttl(ctx.long_ttl()).heartbeat_interval(ttl(&ctx) / 5);
    let election = member.election("job")?.settings(&long)?;
    let handle = campaign(election, &log, 1, works());
    let led = seen.next().await.expect("it never ends")?.leader.expect("somebody leads");
    assert_eq!(&led.holder, member.holder());
    // The grant may be visible in the store before the leader has received its answer.
    log.wait_for_terms(1).await;
    assert_eq!(
        handle.watch().wait_for(|s| s.token.is_some()).await.unwrap().token,
        Some(led.token)
    );
    observer.disable("job", "upkeep").await?;
    loop {
        let now = seen.next().await.expect("it never ends")?;
        if now.leader.is_none() {
            let disabled = now.disabled.expect("it is disabled");
            assert_eq!(disabled.reason.as_str(), "upkeep");
            break;
        }
    }
    handle.shutdown().await;
    Ok(())
}

//! Elections of several leaders: as many jobs run at a time, and a leader that leaves is followed.

use std::sync::Arc;

use futures_util::StreamExt;
use leasehold_core::{Client, ElectionHandle, Job, Leadership, Status, job_fn};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::engine::{client, ttl};
use super::queue_locks::{SOON, until_queue, without_expiry};
use crate::{CaseResult, Ctx, Failure};

crate::case::cases! {
    QueueOrder: [
        as_many_candidates_lead_as_the_election_has_leaders[Queues],
        leaders_have_tokens_that_are_not_below_the_floor[Queues],
    ],
    PromptTakeover: [
        a_leader_that_leaves_is_followed_by_the_candidate_that_waits[Queues],
    ],
    NothingLeftHeld: [
        a_candidate_that_leaves_has_no_entry[Queues],
    ],
    ObserversFollow: [
        an_observer_sees_all_leaders[Queues],
    ],
}

const LEADERS: u32 = 2;

/// The terms that run, and how many ran at the same time at most.
#[derive(Default)]
struct Terms {
    running: usize,
    most: usize,
    leaderships: Vec<Leadership>,
}

/// Notes the end of a term.
struct Running(Arc<Mutex<Terms>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

fn job(terms: &Arc<Mutex<Terms>>) -> impl Job + use<> {
    let terms = terms.clone();
    job_fn(move |leadership: Leadership| {
        let terms = terms.clone();
        async move {
            {
                let mut terms = terms.lock();
                terms.running += 1;
                terms.most = terms.most.max(terms.running);
                terms.leaderships.push(leadership.clone());
            }
            let _running = Running(terms);
            leadership.cancelled().await;
            Ok(())
        }
    })
}

/// Starts that many candidates, one after the other, each on a client of its own.
async fn candidates(
    ctx: &Ctx,
    terms: &Arc<Mutex<Terms>>,
    count: usize,
) -> CaseResult<Vec<ElectionHandle>> {
    let observer = client(ctx).await?;
    let mut candidates = Vec::new();
    for number in 1..=count {
        let election = client(ctx).await?.election("job")?.settings(&without_expiry(ctx))?;
        candidates.push(election.leaders(LEADERS)?.spawn(job(terms)));
        until_queue(&observer, |queue| queue.entries.len() == number).await?;
    }
    Ok(candidates)
}

async fn leads(candidate: &ElectionHandle) -> CaseResult {
    let mut status = candidate.watch();
    match timeout(SOON * 2, status.wait_for(Status::is_leading)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Failure::new("the election has ended")),
        Err(_) => Err(Failure::new("the candidate does not lead")),
    }
}

async fn shut_down(candidates: Vec<ElectionHandle>, observer: &Client) -> CaseResult {
    for candidate in candidates {
        candidate.shutdown().await;
    }
    until_queue(observer, |queue| queue.entries.is_empty()).await?;
    Ok(())
}

async fn as_many_candidates_lead_as_the_election_has_leaders(ctx: Ctx) -> CaseResult {
    let (terms, observer) = (Arc::default(), client(&ctx).await?);
    let candidates = candidates(&ctx, &terms, 4).await?;
    for leader in &candidates[..2] {
        leads(leader).await?;
    }
    // The others stay candidates, however long they wait.
    sleep(ttl(&ctx)).await;
    let leading: Vec<_> = candidates.iter().map(|each| each.status().is_leading()).collect();
    assert_eq!(leading, [true, true, false, false]);
    shut_down(candidates, &observer).await?;
    let terms = terms.lock();
    assert_eq!(terms.running, 0);
    assert!(terms.most <= 2, "{} terms at the same time", terms.most);
    Ok(())
}

async fn a_leader_that_leaves_is_followed_by_the_candidate_that_waits(ctx: Ctx) -> CaseResult {
    let (terms, observer) = (Arc::default(), client(&ctx).await?);
    let mut candidates = candidates(&ctx, &terms, 4).await?;
    leads(&candidates[0]).await?;
    leads(&candidates[1]).await?;
    for _ in 0..2 {
        candidates.remove(0).shutdown().await;
        // The candidates lead in the order in which they entered.
        leads(&candidates[1]).await?;
        assert!(candidates[0].status().is_leading(), "the other leader was disturbed");
    }
    shut_down(candidates, &observer).await?;
    let terms = terms.lock();
    assert!(terms.most <= 2, "{} terms at the same time", terms.most);
    assert_eq!(terms.leaderships.len(), 4, "a candidate led twice");
    Ok(())
}

async fn leaders_have_tokens_that_are_not_below_the_floor(ctx: Ctx) -> CaseResult {
    let (terms, observer) = (Arc::default(), client(&ctx).await?);
    let mut candidates = candidates(&ctx, &terms, 2).await?;
    leads(&candidates[0]).await?;
    leads(&candidates[1]).await?;
    while terms.lock().leaderships.len() < 2 {
        sleep(ttl(&ctx) / 20).await;
    }
    let [first, second] = [0, 1].map(|at: usize| candidates[at].status().token);
    assert!(first < second, "{second:?} after {first:?}");
    let floors: Vec<_> = terms.lock().leaderships.iter().map(|each| Some(each.floor())).collect();
    assert!(floors.iter().all(|floor| *floor == first), "{floors:?}, the first token is {first:?}");
    candidates.remove(0).shutdown().await;
    // The next heartbeat of the other leader raises its floor.
    let last = terms.lock().leaderships.iter().find(|each| Some(each.token()) == second).cloned();
    let last = last.ok_or_else(|| Failure::new("the second leader has not started"))?;
    let raised = async {
        while Some(last.floor()) != second {
            sleep(ttl(&ctx) / 20).await;
        }
    };
    assert!(timeout(SOON, raised).await.is_ok(), "the floor stays at {}", last.floor());
    shut_down(candidates, &observer).await
}

async fn a_candidate_that_leaves_has_no_entry(ctx: Ctx) -> CaseResult {
    let (terms, observer) = (Arc::default(), client(&ctx).await?);
    let mut candidates = candidates(&ctx, &terms, 3).await?;
    candidates.remove(2).shutdown().await;
    let queue = until_queue(&observer, |queue| queue.entries.len() == 2).await?;
    assert_eq!(queue.holding, 2);
    drop(candidates);
    until_queue(&observer, |queue| queue.entries.is_empty()).await?;
    Ok(())
}

async fn an_observer_sees_all_leaders(ctx: Ctx) -> CaseResult {
    let (terms, observer) = (Arc::default(), client(&ctx).await?);
    let candidates = candidates(&ctx, &terms, 3).await?;
    leads(&candidates[0]).await?;
    leads(&candidates[1]).await?;
    let mut seen = observer.observe("job")?;
    let tokens: Vec<_> = candidates.iter().filter_map(|each| each.status().token).collect();
    let all = async {
        while let Some(observation) = seen.next().await {
            let observation = observation?;
            let leaders: Vec<_> = observation.leaders.iter().map(|each| each.token).collect();
            if leaders == tokens {
                assert_eq!(observation.leader.map(|first| first.token), tokens.first().copied());
                return Ok::<_, Failure>(());
            }
        }
        Err(Failure::new("the observation ended"))
    };
    timeout(SOON, all).await.unwrap_or_else(|_| Err(Failure::new("it does not see them")))?;
    shut_down(candidates, &observer).await
}

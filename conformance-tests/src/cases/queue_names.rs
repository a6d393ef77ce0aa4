//! Promises `exact-names` and `separate-namespaces`, for names with a queue.

use leasehold_core::{LockKind, LockName, Namespace, ReleaseOutcome};

use super::queue_client::QueueClient;
use crate::expect::{granted, holds, lost, queued, refused};
use crate::{CaseResult, Ctx};

crate::case::cases! {
    ExactNames: [
        similar_names_have_queues_of_their_own[Queues],
        every_change_of_a_queue_concerns_one_name[Queues],
    ],
    SeparateNamespaces: [
        queues_of_different_namespaces_are_separate[Queues],
    ],
}

/// These are names that a store might take for each other.
const SIMILAR: &[&str] = &[
    "a", "A", "a ", " a", "a\n", "\u{e1}", "a\u{301}", "\u{df}", "ss", "a%", "a_", "a*", "a'",
    "a\"", "a\\", "$a", "a.b", "a/b", "{a}", "{a}b", "a\0",
];

async fn queues(ctx: &Ctx) -> CaseResult<Vec<QueueClient>> {
    let opened = QueueClient::open(ctx, "a", LockKind::Fair).await?;
    let names = SIMILAR.iter().filter_map(|name| LockName::new(*name).ok());
    Ok(names.map(|name| QueueClient { name, ..opened.clone() }).collect())
}

async fn similar_names_have_queues_of_their_own(ctx: Ctx) -> CaseResult {
    let queues = queues(&ctx).await?;
    let mut entries = Vec::new();
    for queue in &queues {
        let [first, second] = [queue.attempt(), queue.attempt()];
        let grant = granted(queue.enter(&first).await?);
        assert_eq!(queued(queue.enter(&second).await?).ahead, 1, "{:?}", queue.name);
        entries.push((first.lease, second.lease, grant.token));
    }
    for (queue, (first, second, token)) in queues.iter().zip(entries) {
        assert_eq!(queue.leases().await?, (vec![first], vec![second]), "{:?}", queue.name);
        assert_eq!(holds(queue.renew_for(first, queue.ttl).await?).1, token);
    }
    Ok(())
}

async fn every_change_of_a_queue_concerns_one_name(ctx: Ctx) -> CaseResult {
    let queues = queues(&ctx).await?;
    let attempts: Vec<_> = queues.iter().map(QueueClient::attempt).collect();
    for (queue, attempt) in queues.iter().zip(&attempts) {
        granted(queue.enter(attempt).await?);
    }
    // The last name is not touched by what happens to the others.
    let (last, others) = queues.split_last().expect("there are names");
    for (at, queue) in others.iter().enumerate() {
        lost(queue.renew_for(attempts[at + 1].lease, queue.ttl).await?);
        assert_eq!(queue.leave(&attempts[at + 1]).await?, ReleaseOutcome::NotHeld);
        if at % 2 == 0 {
            queue.disable("upkeep").await?;
        }
        assert_eq!(queue.leave(&attempts[at]).await?, ReleaseOutcome::Released);
        for (other, attempt) in queues.iter().zip(&attempts).skip(at + 1) {
            holds(other.renew(attempt).await?);
        }
    }
    for (at, queue) in others.iter().enumerate().filter(|(at, _)| at % 2 == 0) {
        refused(queue.enter(&attempts[at]).await?);
    }
    assert_eq!(last.queue().await?.entries.len(), 1);
    Ok(())
}

async fn queues_of_different_namespaces_are_separate(ctx: Ctx) -> CaseResult {
    let own = ctx.namespace().clone();
    // One namespace begins like the other, and one has the greatest length.
    let longer = Namespace::new(format!("{own}_a"))?;
    let longest = Namespace::new(format!("{:_<32}", own.as_str()))?;
    let mut queues = vec![QueueClient::open(&ctx, "job", LockKind::Fair).await?];
    for namespace in [&longer, &longest] {
        ctx.clean_later(namespace);
        let store = ctx.open_in(namespace).await?.store().clone();
        queues.push(queues[0].on_store(store));
    }
    let attempts: Vec<_> = queues.iter().map(QueueClient::attempt).collect();
    for (queue, attempt) in queues.iter().zip(&attempts) {
        granted(queue.enter(attempt).await?);
        assert_eq!(queue.leases().await?, (vec![attempt.lease], vec![]));
    }
    for (at, queue) in queues.iter().enumerate() {
        let next = &attempts[(at + 1) % attempts.len()];
        lost(queue.renew(next).await?);
        assert_eq!(queue.leave(next).await?, ReleaseOutcome::NotHeld);
    }
    queues[0].disable("upkeep").await?;
    refused(queues[0].enter(&queues[0].attempt()).await?);
    for (queue, attempt) in queues.iter().zip(&attempts).skip(1) {
        holds(queue.renew(attempt).await?);
        queued(queue.enter(&queue.attempt()).await?);
    }
    Ok(())
}

//! Instances announce themselves with one record each. No decision depends on these records.

use std::time::{Duration, Instant};

use leasehold_core::{
    ErrorKind, Holder, InstanceRecord, ListOptions, LockName, MAX_TTL, Presence, Result,
};
use uuid::Uuid;

use super::engine::{campaign, client};
use crate::client::retry_while_busy;
use crate::job_log::{JobBehaviour, JobLog};
use crate::{CaseResult, Client, Ctx, Failure};

crate::case::cases! {
    KnownInstances: [
        an_announced_instance_is_listed_for_all_clients,
        the_latest_announcement_replaces_earlier_ones,
        silent_instance_expires,
        withdraw_removes_only_its_own_instance,
        the_largest_announcement_is_returned_unchanged,
        concurrent_announcements_are_all_listed,
        announcements_change_no_lock,
        an_out_of_range_ttl_is_refused,
        elections_announce_their_instance,
    ],
    SeparateNamespaces: [
        instances_of_another_namespace_are_not_listed,
    ],
}

fn presence(campaigns: &[&str]) -> Presence {
    let campaigns = campaigns.iter().map(|name| LockName::new(name).unwrap()).collect();
    Presence::new(Holder::current(), campaigns)
}

/// Repeats the call like the client's other calls. A store without instance records ignores such
/// cases.
async fn announce(client: &Client, presence: &Presence, ttl: Duration) -> CaseResult {
    let store = client.store();
    match retry_while_busy!(
        store.announce(presence, ttl),
        ErrorKind::Unavailable | ErrorKind::OutcomeUnknown
    ) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Err(Failure::ignored("the store does not support instance records"))
        }
        outcome => Ok(outcome?),
    }
}

async fn withdraw(client: &Client, instance: Uuid) -> Result<()> {
    let store = client.store();
    retry_while_busy!(store.withdraw(instance), ErrorKind::Unavailable | ErrorKind::OutcomeUnknown)
}

async fn known(client: &Client) -> Result<Vec<InstanceRecord>> {
    let store = client.store();
    retry_while_busy!(store.instances(), ErrorKind::Unavailable)
}

async fn presences(client: &Client) -> Result<Vec<Presence>> {
    Ok(known(client).await?.into_iter().map(|record| record.presence).collect())
}

async fn an_announced_instance_is_listed_for_all_clients(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (here, ttl) = (presence(&["a", "b"]), ctx.long_ttl());
    let sent_at = Instant::now();
    announce(&first, &here, ttl).await?;
    for client in [&first, &second] {
        let known = known(client).await?;
        assert_eq!(known.len(), 1, "{known:?}");
        assert_eq!(known[0].presence, here);
        let most = ttl + ctx.coarseness();
        assert!(known[0].left <= most, "{:?} is left of {ttl:?}", known[0].left);
        let least = ttl.saturating_sub(sent_at.elapsed() + Duration::from_secs(5));
        assert!(known[0].left >= least, "{:?} is left of {ttl:?}", known[0].left);
    }
    Ok(())
}

async fn the_latest_announcement_replaces_earlier_ones(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let mut here = presence(&["a"]);
    announce(&client, &here, ctx.long_ttl()).await?;
    here.campaigns = presence(&["b", "c"]).campaigns;
    here.unlisted = 7;
    announce(&client, &here, ctx.long_ttl() * 2).await?;
    let known = known(&client).await?;
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!(known[0].presence, here);
    assert!(known[0].left > ctx.long_ttl(), "it is known for {:?}", known[0].left);
    Ok(())
}

async fn silent_instance_expires(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (silent, other, ttl) = (presence(&["a"]), presence(&["a"]), ctx.short_ttl());
    announce(&client, &other, ctx.long_ttl()).await?;
    let sent_at = Instant::now();
    announce(&client, &silent, ttl).await?;
    while presences(&client).await?.contains(&silent) {
        let late = sent_at.elapsed() > ttl + ctx.end_noticed() + Duration::from_secs(90);
        assert!(!late, "an instance that no longer announces itself is still listed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(sent_at.elapsed() + ctx.coarseness() >= ttl, "it was forgotten early");
    assert_eq!(presences(&client).await?, [other]);
    // The instance may announce itself again, for example after a pause.
    announce(&client, &silent, ctx.long_ttl()).await?;
    assert_eq!(known(&client).await?.len(), 2);
    Ok(())
}

async fn withdraw_removes_only_its_own_instance(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (leaving, staying) = (presence(&["a"]), presence(&["a"]));
    announce(&first, &leaving, ctx.long_ttl()).await?;
    announce(&second, &staying, ctx.long_ttl()).await?;
    for _ in 0..2 {
        withdraw(&second, leaving.holder.instance).await?;
        assert_eq!(presences(&first).await?, std::slice::from_ref(&staying));
    }
    withdraw(&first, Uuid::now_v7()).await?;
    assert_eq!(presences(&first).await?, [staying]);
    Ok(())
}

async fn the_largest_announcement_is_returned_unchanged(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let names = (0..Presence::MAX_LISTED).map(|number| LockName::new(format!("{number:\"<255}")));
    let holder = Holder::new(Uuid::now_v7(), "h\u{f6}st'\"\\ {}$", std::process::id())
        .with_label("\u{1F512} '; --\n\t".repeat(15));
    let campaigns = names.collect::<Result<Vec<_>>>()?;
    let here = Presence::new(holder, campaigns).with_unlisted(usize::MAX >> 12);
    announce(&client, &here, ctx.long_ttl()).await?;
    assert_eq!(presences(&client).await?, [here]);
    Ok(())
}

async fn instances_of_another_namespace_are_not_listed(ctx: Ctx) -> CaseResult {
    let here = ctx.open().await?;
    let there = ctx.open_in(&ctx.another_namespace()?).await?;
    let present = presence(&["a"]);
    announce(&here, &present, ctx.long_ttl()).await?;
    assert_eq!(known(&there).await?, []);
    withdraw(&there, present.holder.instance).await?;
    assert_eq!(presences(&here).await?, [present]);
    Ok(())
}

async fn concurrent_announcements_are_all_listed(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(8).await?;
    announce(&clients[0], &presence(&["a"]), ctx.long_ttl()).await?;
    withdraw(&clients[0], presences(&clients[0]).await?[0].holder.instance).await?;
    let ttl = ctx.long_ttl();
    let announcing = (0..64).map(|number| {
        let client = clients[number % clients.len()].clone();
        tokio::spawn(async move {
            let here = presence(&["a"]);
            // Each instance announces itself twice, as heartbeats do.
            announce(&client, &here, ttl).await?;
            announce(&client, &here, ttl).await?;
            CaseResult::Ok(here.holder.instance)
        })
    });
    let mut announced = Vec::new();
    for announcing in announcing.collect::<Vec<_>>() {
        announced.push(announcing.await.unwrap()?);
    }
    announced.sort();
    let known: Vec<_> =
        presences(&clients[0]).await?.into_iter().map(|it| it.holder.instance).collect();
    assert_eq!(known, announced, "in the order of their ids");
    Ok(())
}

async fn announcements_change_no_lock(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, here) = (ctx.name("a"), presence(&["a", "b"]));
    let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
    announce(&client, &here, ctx.long_ttl()).await?;
    let listed = client.store().list(&ListOptions::default()).await?;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(client.holder_of(&name).await?, Some(taken.lease));
    withdraw(&client, here.holder.instance).await?;
    assert_eq!(client.holder_of(&name).await?, Some(taken.lease));
    client.release_held(&taken).await
}

async fn an_out_of_range_ttl_is_refused(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let here = presence(&["a"]);
    announce(&client, &here, ctx.long_ttl()).await?;
    for ttl in [Duration::ZERO, MAX_TTL + Duration::from_nanos(1), Duration::MAX] {
        let error = client.store().announce(&here, ttl).await.expect_err("it is impossible");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{ttl:?}: {error}");
        assert_eq!(presences(&client).await?, std::slice::from_ref(&here));
    }
    Ok(())
}

async fn elections_announce_their_instance(ctx: Ctx) -> CaseResult {
    let (leader, follower) = (client(&ctx).await?, client(&ctx).await?);
    let observer = ctx.open().await?;
    // A store without instance records ignores the case here.
    announce(&observer, &presence(&["z"]), ctx.in_steps(Duration::ZERO)).await?;
    let (log, works) = (JobLog::default(), || JobBehaviour::Works(Duration::ZERO));
    let first = campaign(leader.election("job")?, &log, 1, works());
    let other = campaign(leader.election("another")?, &log, 1, works());
    let second = campaign(follower.election("job")?, &log, 2, works());
    let of = |client: &leasehold_core::Client, names: &[&str]| {
        let campaigns = presence(names).campaigns;
        Presence::new(client.holder().clone(), campaigns)
    };
    let both = [of(&leader, &["another", "job"]), of(&follower, &["job"])];
    until(&observer, |presences| both.iter().all(|one| presences.contains(one))).await?;
    other.shutdown().await;
    until(&observer, |presences| presences.contains(&of(&leader, &["job"]))).await?;
    first.shutdown().await;
    // The withdrawal takes effect before the record expires.
    until(&observer, |presences| presences.iter().all(|one| one.holder != *leader.holder()))
        .await?;
    second.shutdown().await;
    until(&observer, |presences| presences.iter().all(|one| one.holder != *follower.holder())).await
}

async fn until(client: &Client, holds: impl Fn(&[Presence]) -> bool) -> CaseResult {
    let begun = Instant::now();
    loop {
        let presences = presences(client).await?;
        if holds(&presences) {
            return Ok(());
        }
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "the known instances stay {presences:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! These cases read the names that a store has, with `get` and `list`.

use std::collections::BTreeSet;

use leasehold_core::{
    AcquireOptions, Holder, LeaseId, ListOptions, LockName, LockState, LockStoreExt,
};

use crate::expect::held;
use crate::{CaseResult, Client, Ctx};

crate::case::cases! {
    ReadableRecords: [
        a_never_used_name_has_no_record,
        a_record_shows_each_state_of_its_lock,
        a_refused_acquire_does_not_change_the_record,
        holder_fields_are_returned_unchanged,
        all_clients_see_the_same_records,
        a_list_is_in_byte_order,
        a_list_can_be_read_in_pages,
        a_page_can_start_after_a_missing_name,
        every_character_of_a_prefix_is_literal,
        a_prefix_can_be_a_whole_name,
        prefix_and_pages_can_be_combined,
        list_and_get_return_the_same_records,
    ],
}

async fn disable_all(client: &Client, names: &[&str]) -> CaseResult {
    for name in names {
        client.disable(&LockName::new(name)?, "upkeep").await?;
    }
    Ok(())
}

fn texts(names: Vec<LockName>) -> Vec<String> {
    names.into_iter().map(String::from).collect()
}

async fn a_never_used_name_has_no_record(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    assert_eq!(client.get(&ctx.name("never used")).await?, None);
    assert_eq!(client.names("").await?, []);
    client.acquire_free(&ctx.name("used"), ctx.long_ttl()).await?;
    assert_eq!(client.get(&ctx.name("never used")).await?, None);
    assert_eq!(client.get(&ctx.name("use")).await?, None);
    Ok(())
}

async fn a_record_shows_each_state_of_its_lock(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    let state = async || Ok::<_, crate::Failure>(client.get(&name).await?.map(|r| r.state()));
    assert_eq!(state().await?, None);
    let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
    assert_eq!(state().await?, Some(LockState::Held));
    client.release_held(&taken).await?;
    assert_eq!(state().await?, Some(LockState::Free));
    client.acquire_free(&name, ctx.short_ttl()).await?;
    ctx.until_over(&client, &name).await?;
    assert_eq!(state().await?, Some(LockState::Free));
    client.disable(&name, "upkeep").await?;
    assert_eq!(state().await?, Some(LockState::Disabled));
    client.enable(&name).await?;
    assert_eq!(state().await?, Some(LockState::Free));
    Ok(())
}

async fn a_refused_acquire_does_not_change_the_record(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = first.acquire_free(&name, ttl).await?;
    for _ in 0..3 {
        held(second.acquire(&name, LeaseId::new(), ttl * 2).await?);
    }
    let record = first.get(&name).await?.expect("it is on record");
    let lease = record.lease.expect("the lease is in force");
    assert_eq!((record.token, lease.id), (Some(taken.token), taken.lease));
    assert_eq!(&lease.holder, first.holder());
    assert!(lease.left <= ttl);
    Ok(())
}

async fn holder_fields_are_returned_unchanged(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let plain = Holder::current();
    let with = |host: &str, pid, label: Option<&str>| {
        let mut holder = Holder::new(plain.instance, host, pid);
        holder.label = label.map(str::to_owned);
        holder
    };
    let (host, pid) = (plain.host.as_str(), plain.pid);
    let holders = [
        with(host, pid, None),
        with(host, pid, Some("")),
        with("", 0, None),
        with(host, u32::MAX, Some("10.0.0.7:8080")),
        with(host, pid, Some("ünï 'quoted' \"twice\" \\ \n {\"json\": [1]} 😀")),
        with("Höst \"x\" 'y'", pid, Some("x".repeat(200).as_str())),
    ];
    for (number, holder) in holders.into_iter().enumerate() {
        let name = ctx.name(&format!("job {number}"));
        let (lease, ttl) = (LeaseId::new(), ctx.long_ttl());
        let options = AcquireOptions::new(lease, holder.clone(), ttl);
        client.store().acquire(&name, &options).await?;
        let found = client.lease_of(&name).await?.expect("the lease is in force");
        assert_eq!(found.holder, holder);
        let other = held(client.acquire(&name, LeaseId::new(), ttl).await?);
        assert_eq!(other.holder, holder);
    }
    Ok(())
}

async fn all_clients_see_the_same_records(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(3).await?;
    let name = ctx.name("job");
    for writer in &clients {
        let taken = writer.acquire_free(&name, ctx.long_ttl()).await?;
        // The record is visible at once, so no stale replica or cache is read.
        for reader in &clients {
            assert_eq!(reader.holder_of(&name).await?, Some(taken.lease));
            assert_eq!(reader.names("").await?, std::slice::from_ref(&name));
        }
        writer.release_held(&taken).await?;
        for reader in &clients {
            assert_eq!(reader.holder_of(&name).await?, None);
        }
    }
    Ok(())
}

async fn a_list_is_in_byte_order(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let names = ["b", "a", "B", "ä", "Z", "10", "9", "a b", "a-b", "a_b", "ab", "😀", "\u{e000}"];
    disable_all(&client, &names).await?;
    let mut sorted = names.map(str::to_owned);
    sorted.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(texts(client.names("").await?), sorted);
    Ok(())
}

/// Returns all pages of that size, one after the other.
async fn pages(client: &Client, prefix: &str, limit: usize) -> CaseResult<Vec<Vec<String>>> {
    let mut options = ListOptions::default().with_prefix(prefix).with_limit(limit);
    let mut pages = Vec::new();
    loop {
        let page = client.store().list(&options).await?;
        options.after = page.last().map(|record| record.name.clone()).or(options.after);
        let page: Vec<String> = page.into_iter().map(|record| record.name.into()).collect();
        if page.is_empty() {
            return Ok(pages);
        }
        assert!(page.len() <= limit, "{} on a page of {limit}", page.len());
        pages.push(page);
    }
}

async fn a_list_can_be_read_in_pages(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let names: BTreeSet<String> = (0..25).map(|number| format!("job {number}")).collect();
    disable_all(&client, &names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for limit in [1, 7, 24, 25, 26, 1000, 100_000] {
        let pages = pages(&client, "", limit).await?;
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit), "full but the last");
        assert!(pages.concat().iter().eq(&names), "in pages of {limit}: {pages:?}");
    }
    let none = ListOptions::default().with_limit(0);
    assert_eq!(client.store().list(&none).await?, []);
    Ok(())
}

async fn a_page_can_start_after_a_missing_name(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    disable_all(&client, &["a", "c", "ca", "d"]).await?;
    for (after, expected) in [
        ("b", &["c", "ca", "d"][..]),
        ("c", &["ca", "d"]),
        ("c ", &["ca", "d"]),
        ("C", &["a", "c", "ca", "d"]),
        ("d", &[]),
        ("z", &[]),
    ] {
        let options = ListOptions::default().with_after(ctx.name(after));
        let page = client.store().list(&options).await?;
        let page: Vec<_> = page.iter().map(|record| record.name.as_str()).collect();
        assert_eq!(page, expected, "after {after:?}");
    }
    Ok(())
}

const PREFIXED: [&str; 22] = [
    "a", "A", "a%", "a%b", "a_", "a_b", "ab", "axb", "a*", "a*b", "a\\", "a\\%", "a'b", "a[b]",
    "á", "áb", "a\u{301}", "a.b", "a/b", "😀", "😀b", "a?b",
];

async fn every_character_of_a_prefix_is_literal(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    disable_all(&client, &PREFIXED).await?;
    let prefixes = [
        "a",
        "A",
        "a%",
        "a_",
        "%",
        "_",
        "a*",
        "*",
        "a?",
        "?",
        "a\\",
        "\\",
        "a\\%",
        "'",
        "a'",
        "a[",
        "[a]",
        "á",
        "a\u{301}",
        "a.",
        "a.*",
        "^a",
        "a/",
        "😀",
        "b",
        " ",
        "a ",
        "\u{10ffff}",
    ];
    for prefix in prefixes {
        let mut expected: Vec<_> = PREFIXED.into_iter().filter(|n| n.starts_with(prefix)).collect();
        expected.sort_unstable();
        assert_eq!(texts(client.names(prefix).await?), expected, "with prefix {prefix:?}");
    }
    Ok(())
}

async fn a_prefix_can_be_a_whole_name(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (long, umlauts) = ("x".repeat(LockName::MAX_BYTES), "ü".repeat(127));
    disable_all(&client, &["job", "job 1", "jo", &long, &umlauts]).await?;
    assert_eq!(texts(client.names("job").await?), ["job", "job 1"]);
    assert_eq!(texts(client.names("job 1").await?), ["job 1"]);
    assert_eq!(texts(client.names(&long).await?), std::slice::from_ref(&long));
    assert_eq!(texts(client.names(&umlauts).await?), [umlauts]);
    // No name is that long, but the call does not fail.
    assert_eq!(client.names(&format!("{long}x")).await?, []);
    Ok(())
}

async fn prefix_and_pages_can_be_combined(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    disable_all(&client, &["a", "b", "b%", "b%1", "b%2", "b1", "b2", "c"]).await?;
    for limit in 1..5 {
        assert_eq!(
            pages(&client, "b", limit).await?.concat(),
            ["b", "b%", "b%1", "b%2", "b1", "b2"]
        );
        assert_eq!(pages(&client, "b%", limit).await?.concat(), ["b%", "b%1", "b%2"]);
    }
    for (after, expected) in [("a", &["b1", "b2"][..]), ("b1", &["b2"]), ("c", &[])] {
        // The page may start after a name that sorts before or after all names with the prefix.
        let options = ListOptions::default().with_prefix("b").with_after(ctx.name(after));
        let page = client.store().list(&options).await?;
        let page: Vec<_> = page.iter().map(|record| record.name.as_str()).collect();
        assert!(page.ends_with(expected), "after {after:?}: {page:?}");
        assert_eq!(page.is_empty(), expected.is_empty(), "after {after:?}: {page:?}");
    }
    Ok(())
}

async fn list_and_get_return_the_same_records(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let ttl = ctx.long_ttl();
    client.acquire_free(&ctx.name("held"), ttl).await?;
    let free = client.acquire_free(&ctx.name("free"), ttl).await?;
    client.release_held(&free).await?;
    client.acquire_free(&ctx.name("ending"), ttl).await?;
    disable_all(&client, &["ending", "disabled"]).await?;
    client.acquire_free(&ctx.name("expired"), ctx.short_ttl()).await?;
    ctx.until_over(&client, &ctx.name("expired")).await?;
    let listed = client.store().list_all("").await?;
    assert_eq!(listed.len(), 5);
    for record in listed {
        let read = client.get(&record.name).await?.expect("a listed name is on record");
        assert_eq!((record.state(), record.token), (read.state(), read.token), "{:?}", read.name);
        let key = |record: &leasehold_core::LockRecord| {
            let lease = record.lease.clone().map(|l| (l.id, l.holder, l.ending));
            (lease, record.disabled.clone().map(|d| (d.reason, d.by)))
        };
        assert_eq!(key(&record), key(&read), "{:?}", read.name);
    }
    Ok(())
}

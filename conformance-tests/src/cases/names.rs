//! Promise `exact-names`: names are compared byte for byte.

use leasehold_core::{AcquireOutcome, LeaseId, LockName, LockStoreExt, ReleaseOutcome};

use crate::expect::{extended, held, refused};
use crate::{CaseResult, Client, Ctx, HeldLease};

crate::case::cases! {
    ExactNames: [
        similar_names_can_all_be_held_at_the_same_time,
        similar_names_are_listed_unchanged_in_byte_order,
        a_release_frees_no_similar_name,
        a_renewal_extends_no_similar_name,
        a_disable_affects_no_similar_name,
        names_of_255_bytes_that_differ_in_the_last_byte_are_separate,
    ],
}

/// Returns names that a store might take for each other or for something else.
fn similar_names(ctx: &Ctx) -> Vec<LockName> {
    let names = [
        // These differ in case, padding and other white space.
        "a",
        "A",
        "a ",
        " a",
        "a  ",
        "a\t",
        "a\n",
        "a\r\n",
        "\na",
        "a\u{a0}",
        "a\u{200b}",
        // These are one letter in two spellings, and letters that a collation may treat as equal.
        "á",
        "a\u{301}",
        "â",
        "å",
        "ß",
        "ss",
        "ẞ",
        "ı",
        "i",
        "I",
        "İ",
        "ﬁ",
        "fi",
        "æ",
        "ae",
        // A query language gives these characters a meaning.
        "a%",
        "a_",
        "a*",
        "a?",
        "a[b]",
        "a'",
        "a''",
        "a\"",
        "a`",
        "a\\",
        "a\\\\",
        "a;--",
        "%",
        "_",
        "*",
        "?",
        "a|b",
        "^a",
        "a$",
        "(a)",
        // A datastore may read these as structure.
        "a/b",
        "a//b",
        "/a",
        "a/",
        "a.b",
        ".a",
        "a.",
        "..",
        ".",
        "$a",
        "$",
        "a$b",
        "{a}",
        "{a}b",
        "{}",
        "a:b",
        ":",
        "a::b",
        "a,b",
        "a=b",
        "a#b",
        "a@b",
        "a&b",
        "a+b",
        "a%20",
        "a b",
        "-a",
        // A parser may read these as values.
        "null",
        "NULL",
        "0",
        "00",
        "0.0",
        "-0",
        "1",
        "01",
        "1e0",
        "true",
        "NaN",
        "[]",
        "\"a\"",
        // These are beyond the first plane or written from right to left, or are control
        // characters.
        "😀",
        "😀 ",
        "👩\u{200d}💻",
        "👩",
        "شغل",
        "仕事",
        "\u{1}",
        "\u{7f}",
        "\u{feff}a",
        "\u{fffd}",
        "\u{10ffff}",
        "\u{e000}",
    ];
    names.into_iter().map(|name| ctx.name(name)).collect()
}

async fn take_all(ctx: &Ctx, client: &Client) -> CaseResult<Vec<HeldLease>> {
    let mut all = Vec::new();
    for name in similar_names(ctx) {
        all.push(client.acquire_free(&name, ctx.long_ttl()).await?);
    }
    Ok(all)
}

async fn similar_names_can_all_be_held_at_the_same_time(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let all = take_all(&ctx, &first).await?;
    for taken in &all {
        let outcome = second.acquire(&taken.name, LeaseId::new(), ctx.long_ttl()).await?;
        assert_eq!(held(outcome).token, taken.token, "{:?}", taken.name);
        let record = second.get(&taken.name).await?.expect("it is on record");
        assert_eq!(record.name, taken.name);
        assert_eq!(record.lease.map(|lease| lease.id), Some(taken.lease), "{:?}", taken.name);
    }
    Ok(())
}

async fn similar_names_are_listed_unchanged_in_byte_order(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let all = take_all(&ctx, &client).await?;
    let mut names: Vec<LockName> = all.iter().map(|taken| taken.name.clone()).collect();
    names.sort_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
    let records = client.store().list_all("").await?;
    let listed: Vec<LockName> = records.iter().map(|record| record.name.clone()).collect();
    assert_eq!(listed, names);
    for record in records {
        let taken = all.iter().find(|taken| taken.name == record.name);
        assert_eq!(record.token, taken.map(|taken| taken.token), "{:?}", record.name);
    }
    Ok(())
}

async fn a_release_frees_no_similar_name(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let mut all = take_all(&ctx, &client).await?;
    // Every lease is also tried with every other name.
    for pair in all.windows(2) {
        let outcome = client.release(&pair[1].name, pair[0].lease).await?;
        assert_eq!(outcome, ReleaseOutcome::NotHeld, "{:?} for {:?}", pair[1].name, pair[0].name);
    }
    while let Some(released) = all.pop() {
        client.release_held(&released).await?;
        assert_eq!(client.holder_of(&released.name).await?, None, "{:?}", released.name);
        if let Some(next) = all.last() {
            assert_eq!(client.holder_of(&next.name).await?, Some(next.lease), "{:?}", next.name);
        }
    }
    Ok(())
}

async fn a_renewal_extends_no_similar_name(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let all = take_all(&ctx, &client).await?;
    let ttl = ctx.long_ttl();
    for renewed in all.iter().step_by(2) {
        extended(client.renew(&renewed.name, renewed.lease, ttl * 3).await?);
    }
    for (number, taken) in all.iter().enumerate() {
        let lease = client.lease_of(&taken.name).await?.expect("the lease is in force");
        assert_eq!(lease.left > ttl, number % 2 == 0, "{:?}: {:?} left", taken.name, lease.left);
    }
    Ok(())
}

async fn a_disable_affects_no_similar_name(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let names = similar_names(&ctx);
    for (number, name) in names.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        client.disable(name, &format!("reason {number}")).await?;
    }
    for (number, name) in names.iter().enumerate() {
        let outcome = client.acquire(name, LeaseId::new(), ctx.long_ttl()).await?;
        if number % 2 == 0 {
            assert_eq!(refused(outcome).reason.as_str(), format!("reason {number}"), "{name:?}");
        } else {
            assert!(matches!(outcome, AcquireOutcome::Granted(_)), "{name:?}: {outcome:?}");
        }
    }
    Ok(())
}

async fn names_of_255_bytes_that_differ_in_the_last_byte_are_separate(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let long = "n".repeat(LockName::MAX_BYTES - 1);
    let umlauts = "ü".repeat(LockName::MAX_BYTES / 2);
    let emoji = "🔒".repeat(63);
    let names = [
        long.clone(),
        format!("{long}a"),
        format!("{long}b"),
        format!("{long}A"),
        format!("{long} "),
        umlauts.clone(),
        format!("{umlauts}a"),
        emoji.clone(),
        format!("{emoji}abc"),
        format!("{emoji}abd"),
    ];
    let mut all = Vec::new();
    for name in &names {
        all.push(first.acquire_free(&ctx.name(name), ctx.long_ttl()).await?);
    }
    for taken in &all {
        assert_eq!(second.holder_of(&taken.name).await?, Some(taken.lease));
    }
    let mut names: Vec<LockName> = names.iter().map(|name| ctx.name(name)).collect();
    names.sort();
    assert_eq!(second.names("").await?, names);
    for taken in &all {
        second.release_held(taken).await?;
    }
    Ok(())
}

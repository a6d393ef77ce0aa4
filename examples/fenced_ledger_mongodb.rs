//! This example shows a ledger in MongoDB to which two leaders write, with a fence.
//!
//! The ledger is one document, so a write to it needs no transaction: MongoDB compares the token
//! and adds the entry in one update. This form runs on every server, also on one that has no
//! transactions. It refuses an older leader as soon as a newer one has written to the document.
//! A ledger of several documents needs a transaction that first checks a fence which was raised, on
//! a replica set or a sharded cluster: see the documentation of `leasehold_fence::mongodb`.
//!
//! The first leader is a process that is stopped (SIGSTOP) past its lease, just before it writes.
//! The second one writes; then the first continues, and its write is refused.
//!
//! ```text
//! cargo run -p leasehold-examples --features mongodb --example fenced_ledger_mongodb -- mongodb://localhost/app
//! ```

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use leasehold::{Client, Guard, OpenOptions, Settings};
use leasehold_fence::mongodb::MongoFence;
use leasehold_fence::{Namespace, Term};
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

type AnyResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

const LONG: Duration = Duration::from_secs(20);

/// Acquires the lock, with a short lease so that the demonstration is short too, and returns the
/// fence of the new term. This form needs no `raise`.
async fn lead(url: &str) -> AnyResult<(Collection<Document>, Guard, MongoFence)> {
    let database = mongodb::Client::with_uri_str(url)
        .await?
        .default_database()
        .ok_or("the URL names no database")?;
    let ledger = database.collection::<Document>("example_ledger");
    let empty = doc! { "$setOnInsert": { "entries": [] } };
    ledger.update_one(doc! { "_id": "ledger" }, empty).upsert(true).await?;

    let store = leasehold::url::open(url, &OpenOptions::default()).await?;
    let settings = Settings::new().ttl(Duration::from_secs(1));
    let client = Client::builder(store).settings(settings).build()?;
    let guard = client.lock("ledger")?.acquire(LONG).await?;
    let term = Term::new(guard.name(), guard.token());
    let fence = MongoFence::new(&database, &Namespace::default(), &term);
    Ok((ledger, guard, fence))
}

/// Writes an entry, unless a newer term has written one. Comparison and write are one update.
async fn write(ledger: &Collection<Document>, fence: &MongoFence, entry: &str) -> AnyResult<()> {
    let filter = fence.filter(doc! { "_id": "ledger" });
    let change = fence.update(doc! { "$push": { "entries": entry } });
    let written = ledger.update_one(filter, change).await.map_err(|cause| fence.error(cause))?;
    // The document exists, so nothing else keeps the filter from matching it.
    if written.matched_count == 0 { Err("a newer term has written".into()) } else { Ok(()) }
}

/// The first leader is stopped as soon as it has printed its first line.
async fn paused_leader(url: &str) -> AnyResult<()> {
    let (ledger, guard, fence) = lead(url).await?;
    println!("first:  leads with token {}, held: {}", guard.token(), guard.is_held());
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A leader should check `is_held` here. This one checked just before it was stopped.
    match write(&ledger, &fence, "by the first").await {
        Ok(()) => println!("first:  its entry is written"),
        Err(error) => println!("first:  its entry is refused: {error}"),
    }
    Ok(())
}

async fn signal(signal: &str, process: u32) -> AnyResult<()> {
    let status = Command::new("kill").args([signal, &process.to_string()]).status().await?;
    if status.success() { Ok(()) } else { Err(format!("kill {signal} failed: {status}").into()) }
}

#[tokio::main]
async fn main() -> AnyResult<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("give the URL of a database: mongodb://localhost/app")?;
    if arguments.next().is_some() {
        return paused_leader(&url).await;
    }
    let mut first = Command::new(std::env::current_exe()?)
        .args([url.as_str(), "first"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (process, output) =
        (first.id().ok_or("the first leader ended")?, first.stdout.take().ok_or("no output")?);
    let mut lines = BufReader::new(output).lines();
    println!("{}", lines.next_line().await?.ok_or("the first leader did not get the lock")?);
    signal("-STOP", process).await?;

    let (ledger, guard, fence) = lead(&url).await?;
    write(&ledger, &fence, "by the second").await?;
    println!("second: leads with token {}, and has written", guard.token());
    signal("-CONT", process).await?;
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
    }
    first.wait().await?;
    guard.release().await?;
    Ok(())
}

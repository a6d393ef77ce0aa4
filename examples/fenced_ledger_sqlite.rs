//! This example shows a ledger in an SQLite file to which two leaders write, with a fence.
//!
//! The first leader is a process that is stopped (SIGSTOP) past its lease, just before it begins a
//! transaction. The second one raises its fence and writes; then the first continues, and its
//! transaction is refused.
//!
//! ```text
//! cargo run -p leasehold-examples --example fenced_ledger_sqlite -- ledger.db
//! ```

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use leasehold::{Client, Guard, OpenOptions, Settings};
use leasehold_fence::sqlx::{SqliteFence, SqliteFenceTable};
use leasehold_fence::{Namespace, Schema, Term};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

type AnyResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

const LONG: Duration = Duration::from_secs(20);

/// Acquires the lock, with a short lease so that the demonstration is short too, and raises the fence
/// of the new term.
async fn lead(path: &str) -> AnyResult<(SqlitePool, Guard, SqliteFence)> {
    let file = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = SqlitePool::connect_with(file).await?;
    let create = "CREATE TABLE IF NOT EXISTS example_ledger (entry VARCHAR(80) NOT NULL)";
    sqlx::query(create).execute(&pool).await?;
    let table = SqliteFenceTable::open(&pool, &Namespace::default(), Schema::Create).await?;

    // The locks are in the same file.
    let store = leasehold::url::open(&format!("sqlite:{path}"), &OpenOptions::default()).await?;
    let settings = Settings::new().ttl(Duration::from_secs(1));
    let client = Client::builder(store).settings(settings).build()?;
    let guard = client.lock("ledger")?.acquire(LONG).await?;
    let fence = table.fence(&Term::new(guard.name(), guard.token()));
    fence.raise(&pool, LONG).await?;
    Ok((pool, guard, fence))
}

/// Writes an entry, unless a newer term has raised its fence.
async fn write(pool: &SqlitePool, fence: &SqliteFence, entry: &str) -> AnyResult<()> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    fence.check(&mut transaction).await?;
    let insert = sqlx::query("INSERT INTO example_ledger (entry) VALUES (?)").bind(entry);
    insert.execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// The first leader is stopped as soon as it has printed its first line.
async fn paused_leader(path: &str) -> AnyResult<()> {
    let (pool, guard, fence) = lead(path).await?;
    println!("first:  leads with token {}, held: {}", guard.token(), guard.is_held());
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A leader should check `is_held` here. This one checked just before it was stopped.
    match write(&pool, &fence, "by the first").await {
        Ok(()) => println!("first:  its transaction is committed"),
        Err(error) => println!("first:  its transaction is refused: {error}"),
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
    let path = arguments.next().ok_or("give the path of a file")?;
    if arguments.next().is_some() {
        return paused_leader(&path).await;
    }
    let mut first = Command::new(std::env::current_exe()?)
        .args([path.as_str(), "first"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (process, output) =
        (first.id().ok_or("the first leader ended")?, first.stdout.take().ok_or("no output")?);
    let mut lines = BufReader::new(output).lines();
    println!("{}", lines.next_line().await?.ok_or("the first leader did not get the lock")?);
    signal("-STOP", process).await?;

    let (pool, guard, fence) = lead(&path).await?;
    write(&pool, &fence, "by the second").await?;
    println!("second: leads with token {}, and has written", guard.token());
    signal("-CONT", process).await?;
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
    }
    first.wait().await?;
    guard.release().await?;
    Ok(())
}

//! This example shows a ledger in Redis or Valkey to which two leaders write, with a fence.
//!
//! The first leader is a process that is stopped (SIGSTOP) past its lease, just before it calls
//! a script. The second one raises its fence and writes; then the first continues, and its
//! script is refused.
//!
//! ```text
//! cargo run -p leasehold-examples --features redis --example fenced_ledger_redis -- redis://127.0.0.1
//! ```

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use leasehold::{Client, Guard, OpenOptions, Settings};
use leasehold_fence::redis::RedisFence;
use leasehold_fence::{Namespace, Term};
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

type AnyResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

const LONG: Duration = Duration::from_secs(20);

/// Acquires the lock, with a short lease so that the demonstration is short too, and raises the fence
/// of the new term.
async fn lead(url: &str) -> AnyResult<(MultiplexedConnection, Guard, RedisFence)> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let store = leasehold::url::open(url, &OpenOptions::default()).await?;
    let settings = Settings::new().ttl(Duration::from_secs(1));
    let client = Client::builder(store).settings(settings).build()?;
    let guard = client.lock("ledger")?.acquire(LONG).await?;
    let fence = RedisFence::new(&Namespace::default(), &Term::new(guard.name(), guard.token()));
    fence.raise(&mut connection).await?;
    Ok((connection, guard, fence))
}

/// Writes an entry, unless a newer term has raised its fence. The server runs nothing else between
/// the check and the write.
async fn write(
    connection: &mut MultiplexedConnection,
    fence: &RedisFence,
    entry: &str,
) -> AnyResult<()> {
    let script = RedisFence::script("return redis.call('RPUSH', KEYS[1], ARGV[1])");
    let mut call = script.key("example_ledger");
    fence.bind(call.arg(entry));
    let written = call.invoke_async::<i64>(connection).await;
    written.map_err(|cause| fence.error(cause))?;
    Ok(())
}

/// The first leader is stopped as soon as it has printed its first line.
async fn paused_leader(url: &str) -> AnyResult<()> {
    let (mut connection, guard, fence) = lead(url).await?;
    println!("first:  leads with token {}, held: {}", guard.token(), guard.is_held());
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A leader should check `is_held` here. This one checked just before it was stopped.
    match write(&mut connection, &fence, "by the first").await {
        Ok(()) => println!("first:  its script has written"),
        Err(error) => println!("first:  its script is refused: {error}"),
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
    let url = arguments.next().ok_or("give the URL of a server: redis://127.0.0.1")?;
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

    let (mut connection, guard, fence) = lead(&url).await?;
    write(&mut connection, &fence, "by the second").await?;
    println!("second: leads with token {}, and has written", guard.token());
    signal("-CONT", process).await?;
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
    }
    first.wait().await?;
    guard.release().await?;
    Ok(())
}

//! This example shows a ledger in etcd to which two leaders write, with a fence.
//!
//! The first leader is a process that is stopped (SIGSTOP) past its lease, just before it sends a
//! transaction. The second one raises its fence and writes; then the first continues, and its
//! transaction is refused.
//!
//! The ledger may be in another etcd than the locks. Where it is in the same one, as here, a
//! transaction can also compare the grant itself, without `raise`: see `EtcdFence::compare_grant`.
//!
//! ```text
//! cargo run -p leasehold-examples --features etcd --example fenced_ledger_etcd -- 127.0.0.1:2379
//! ```

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use etcd_client::{KvClient, Txn, TxnOp};
use leasehold::{Client, Guard, OpenOptions, Settings};
use leasehold_fence::etcd::EtcdFence;
use leasehold_fence::{Namespace, Term};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

type AnyResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

const LONG: Duration = Duration::from_secs(20);

/// Acquires the lock, with the shortest lease of etcd so that the demonstration is short too, and
/// raises the fence of the new term.
async fn lead(address: &str) -> AnyResult<(KvClient, Guard, EtcdFence)> {
    let mut etcd = etcd_client::Client::connect([address], None).await?.kv_client();
    let store = leasehold::url::open(&format!("etcd://{address}"), &OpenOptions::default()).await?;
    let settings = Settings::new().ttl(Duration::from_secs(2));
    let client = Client::builder(store).settings(settings).build()?;
    let guard = client.lock("ledger")?.acquire(LONG).await?;
    let fence = EtcdFence::new(&Namespace::default(), &Term::new(guard.name(), guard.token()));
    fence.raise(&mut etcd).await?;
    Ok((etcd, guard, fence))
}

/// Writes an entry, unless a newer term has raised its fence. etcd compares and writes at once.
async fn write(etcd: &mut KvClient, fence: &EtcdFence, entry: &str) -> AnyResult<()> {
    let key = format!("example_ledger/{}", fence.term().token());
    let put = TxnOp::put(key, entry, None);
    let txn = Txn::new().when(fence.compares()).and_then([put]);
    let done = etcd.txn(txn).await.map_err(|cause| fence.error(cause))?;
    if done.succeeded() {
        return Ok(());
    }
    // This says why.
    fence.verify(etcd).await?;
    Err("the fence was raised at the same time; send the transaction again".into())
}

/// The first leader is stopped as soon as it has printed its first line.
async fn paused_leader(address: &str) -> AnyResult<()> {
    let (mut etcd, guard, fence) = lead(address).await?;
    println!("first:  leads with token {}, held: {}", guard.token(), guard.is_held());
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A leader should check `is_held` here. This one checked just before it was stopped.
    match write(&mut etcd, &fence, "by the first").await {
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
    let address = arguments.next().ok_or("give the address of a member: 127.0.0.1:2379")?;
    if arguments.next().is_some() {
        return paused_leader(&address).await;
    }
    let mut first = Command::new(std::env::current_exe()?)
        .args([address.as_str(), "first"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (process, output) =
        (first.id().ok_or("the first leader ended")?, first.stdout.take().ok_or("no output")?);
    let mut lines = BufReader::new(output).lines();
    println!("{}", lines.next_line().await?.ok_or("the first leader did not get the lock")?);
    signal("-STOP", process).await?;

    let (mut etcd, guard, fence) = lead(&address).await?;
    write(&mut etcd, &fence, "by the second").await?;
    println!("second: leads with token {}, and has written", guard.token());
    signal("-CONT", process).await?;
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
    }
    first.wait().await?;
    guard.release().await?;
    Ok(())
}

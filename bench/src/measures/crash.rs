//! The time from `kill -9` of the leader to the next start, and of the command line's supervisor to
//! the next command.

use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::leasehold_client::{LEASEHOLD, NAMESPACE};
use crate::monotonic;
use crate::statistics::{median, millis};
use crate::table::{Table, Unit};
use crate::worker::{Job, Task, Worker};

const TTL: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;

/// The other candidate waits by then.
const SETTLE: Duration = Duration::from_secs(2);

const COLUMNS: [(&str, Unit); 2] = [("median", Unit::Millis), ("slowest", Unit::Millis)];

/// Measures the library and, if the path of its program is given, the command line.
pub(crate) async fn measure(url: &str, program: Option<&Path>) -> Result<Table> {
    let title = format!("Crash take-over, ttl of {TTL:?}");
    let mut table = Table::new(&title, "killed process", &COLUMNS);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(of_library(url).await?);
    }
    add(&mut table, "process of an election", times);
    if let Some(program) = program {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(of_command_line(url, program).await?);
        }
        add(&mut table, "supervisor of a command", times);
    }
    Ok(table)
}

fn add(table: &mut Table, row: &str, times: Vec<f64>) {
    let slowest = times.iter().copied().reduce(f64::max);
    table.add(row, vec![median(&times), slowest], times);
}

async fn of_library(url: &str) -> Result<f64> {
    let task = Task::Campaign { candidates: 1, ttl: TTL };
    let job = Job { url: url.to_owned(), library: LEASEHOLD.to_owned(), task };
    let mut workers = [Worker::start(&job).await?, Worker::start(&job).await?];
    for worker in &mut workers {
        worker.ready().await?;
    }
    let [mut leader, mut other] = workers;
    leader.order("go").await?;
    leader.started().await?;
    other.order("go").await?;
    sleep(SETTLE).await;
    let killed = monotonic::now();
    leader.kill().await?;
    let started = other.started().await?;
    other.kill().await?;
    sleep(TTL).await;
    Ok(millis(started.saturating_sub(killed)))
}

async fn of_command_line(url: &str, program: &Path) -> Result<f64> {
    let (mut leader, mut other) = (supervisor(url, program)?, supervisor(url, program)?);
    // Either of them may lead first.
    let mut first = pin!(first_line(&mut leader)?);
    let mut second = pin!(first_line(&mut other)?);
    let leads = tokio::select! {
        line = &mut first => line.map(|()| true)?,
        line = &mut second => line.map(|()| false)?,
    };
    sleep(SETTLE).await;
    let killed = Instant::now();
    let took = if leads {
        leader.start_kill()?;
        second.await?;
        killed.elapsed()
    } else {
        other.start_kill()?;
        first.await?;
        killed.elapsed()
    };
    // One of them is dead already.
    _ = leader.kill().await;
    _ = other.kill().await;
    sleep(TTL).await;
    Ok(millis(took))
}

/// Starts a command line whose command writes a line and waits.
fn supervisor(url: &str, program: &Path) -> Result<Child> {
    let ttl = format!("{TTL:?}");
    Command::new(program)
        .args(["--store", url, "--namespace", NAMESPACE, "run", "--lock", "bench-crash"])
        .args(["--ttl", &ttl, "--", "sh", "-c", "echo started; exec sleep 1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the command line")
}

/// Returns a future that waits for the first line of the command.
fn first_line(child: &mut Child) -> Result<impl Future<Output = Result<()>> + use<>> {
    let output = child.stdout.take().context("the command has no output")?;
    Ok(async move {
        let line = BufReader::new(output).lines().next_line().await?;
        line.map(drop).context("the command line ended early")
    })
}

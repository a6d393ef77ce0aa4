//! A worker is another process of this program, which a measurement starts and directs.
//!
//! The measurement writes the job as a line of JSON to the worker's standard input, and orders
//! after it, a line each. The worker writes `ready` when it is, and at the end its report as a line of
//! JSON.

mod campaign;
mod cold_start;
mod holder;
mod job;
mod orders;
mod process;
mod usage;
mod waiters;

use anyhow::Result;
use tokio::io::AsyncWriteExt;

pub(crate) use job::{Grant, Held, Job, Report, Task};
pub(crate) use process::Worker;

use orders::Orders;

/// The program is started with this argument to be a worker.
pub(crate) const ARGUMENT: &str = "worker";

/// Does the job that standard input gives.
pub(crate) async fn run() -> Result<()> {
    let mut orders = Orders::from_stdin();
    let job = orders.job().await?;
    let report = match job.task.clone() {
        Task::Wait { lock, waiters, hold, rest } => {
            waiters::run(&job, &lock, waiters, hold, rest, &mut orders).await?
        }
        Task::Hold { leases, limit } => holder::run(&job.url, leases, limit, &mut orders).await?,
        Task::Campaign { candidates, ttl } => {
            campaign::run(&job.url, candidates, ttl, &mut orders).await?
        }
        Task::ColdStart => cold_start::run(&job.url, &mut orders).await?,
    };
    let line = format!("{}\n", serde_json::to_string(&report)?);
    let mut output = tokio::io::stdout();
    output.write_all(line.as_bytes()).await?;
    output.flush().await?;
    Ok(())
}

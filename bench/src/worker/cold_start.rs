//! The first lock of a process.

use anyhow::Result;

use super::job::Report;
use super::orders::Orders;
use super::usage;
use crate::contender::LockLibrary;
use crate::leasehold_client::LeaseholdClient;

pub(super) async fn run(url: &str, orders: &mut Orders) -> Result<Report> {
    let client = LeaseholdClient::by_url(url).await?;
    let lock = format!("bench-cold-start-{}", std::process::id());
    client.acquire(&lock).await?.await?;
    orders.ready().await?;
    orders.wait_for("stop").await?;
    Ok(Report { connections: usage::connections(), ..Report::default() })
}

//! Candidates of one election.

use std::time::Duration;

use anyhow::Result;
use leasehold::{ElectionHandle, Leadership, Settings, job_fn};

use super::job::Report;
use super::orders::Orders;
use super::usage;
use crate::counting_store::calls_between;
use crate::leasehold_client::LeaseholdClient;
use crate::monotonic;

/// A line that begins with this says when a term started, in nanoseconds of the monotonic clock.
pub(super) const STARTED: &str = "started ";

const ELECTION: &str = "bench-election";

pub(super) async fn run(
    url: &str,
    candidates: usize,
    ttl: Duration,
    orders: &mut Orders,
) -> Result<Report> {
    let (client, store) = LeaseholdClient::counted(url).await?;
    orders.ready().await?;
    orders.wait_for("go").await?;
    let settings = Settings::new().ttl(ttl);
    let mut handles: Vec<ElectionHandle> = Vec::new();
    for _ in 0..candidates {
        let job = job_fn(|leadership: Leadership| async move {
            println!("{STARTED}{}", monotonic::now().as_nanos());
            leadership.cancelled().await;
            Ok(())
        });
        let election = client.client().election(ELECTION)?.settings(&settings)?;
        handles.push(election.spawn(job));
    }
    orders.wait_for("count").await?;
    let (calls, used) = (store.calls(), monotonic::processor_time());
    orders.wait_for("stop").await?;
    Ok(Report {
        calls: Some(calls_between(&calls, &store.calls())),
        processor_time: monotonic::processor_time().saturating_sub(used),
        connections: usage::connections(),
        ..Report::default()
    })
}

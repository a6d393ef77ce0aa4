//! The engine limits the damage that a misbehaving store or runtime causes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clocks;
mod elections;
#[path = "../support/faulty_store.rs"]
mod faulty_store;
mod leases;
mod runtimes;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use faulty_store::FaultyStore;
use leasehold_core::{Client, Clock, Job, Leadership, Settings, job_fn};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
fn client(faulty: &FaultyStore, clock: Arc<dyn Clock>, settings: Settings) -> Client {
    Client::builder(Arc::new(faulty.clone()))
        .clock(clock)
        .settings(settings)
        .seed(1)
        .build()
        .unwrap()
}
fn waiting_job() -> impl Job {
    job_fn(|leadership: Leadership| async move {
        leadership.cancelled().await;
        Ok(())
    })
}

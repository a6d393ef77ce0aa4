//! This example shows a scheduler of periodic jobs that runs on one instance only. `start` starts
//! the jobs, `stop` waits for the runs in progress, and then the lease is released.
//!
//! Start it in two or more terminals, and stop, kill or suspend (Ctrl-Z) the one that leads. An
//! operator ends a term with `leasehold --store URL disable job-scheduler --reason TEXT`.
//!
//! ```text
//! cargo run -p leasehold-examples --example job_scheduler [STORE-URL]
//! ```

use std::error::Error;
use std::time::Duration;

use leasehold::async_trait;
use leasehold::election::JobError;
use leasehold::{Job, Leadership, StopReason};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

#[derive(Default)]
struct Scheduler {
    jobs: Mutex<JoinSet<()>>,
}

#[async_trait]
impl Job for Scheduler {
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        println!("scheduler starts, term {}", leadership.token());
        let mut jobs = self.jobs.lock().await;
        for (name, seconds) in [("send-mail", 2), ("refresh-cache", 3), ("clean-up", 5)] {
            jobs.spawn(periodically(name, Duration::from_secs(seconds), leadership.clone()));
        }
        Ok(())
    }

    async fn stop(&self, reason: &StopReason) {
        println!("scheduler stops: {reason}");
        // The jobs are taken out of the scheduler, so that all runs are aborted with this future if
        // it exceeds its grace.
        let jobs = std::mem::take(&mut *self.jobs.lock().await);
        jobs.join_all().await;
        println!("scheduler has stopped");
    }
}

/// Runs one job repeatedly until the term must end.
async fn periodically(name: &'static str, period: Duration, leadership: Leadership) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = leadership.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // The run is outside of the select, so that it is not cancelled once it has started.
        if leadership.is_held() {
            println!("  {name} begins");
            sleep(Duration::from_millis(500)).await;
            println!("  {name} is done");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| {
        format!("sqlite:{}", std::env::temp_dir().join("leasehold-examples.db").display())
    });
    let client = leasehold::connect(&url).await?;
    println!("{} campaigns on {}", client.holder(), client.store().label());

    let scheduler = client.election("job-scheduler")?.spawn(Scheduler::default());
    tokio::signal::ctrl_c().await?;
    scheduler.shutdown().await;
    Ok(())
}

//! This example sends an "application is up" event at regular intervals, from exactly one of the
//! cluster's instances.
//!
//! Start it in two or more terminals: one sends. Stop that one with Ctrl-C, and another takes over
//! at once. Kill it (`kill -9`), and another takes over when its lease has expired.
//!
//! ```text
//! cargo run -p leasehold-examples --example heartbeat_sender [STORE-URL]
//! ```

use std::error::Error;
use std::time::Duration;

use leasehold::Leadership;
use leasehold::election::{JobError, job_fn};
use tokio::time::{MissedTickBehavior, interval};

const PERIOD: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| {
        format!("sqlite:{}", std::env::temp_dir().join("leasehold-examples.db").display())
    });
    let client = leasehold::connect(&url).await?;
    println!("{} campaigns on {}", client.holder(), client.store().label());

    let sender = client.election("heartbeat-sender")?.spawn(job_fn(send_heartbeats));
    tokio::signal::ctrl_c().await?;
    sender.shutdown().await;
    println!("left the election");
    Ok(())
}

/// Sends events for as long as this instance leads.
async fn send_heartbeats(leadership: Leadership) -> Result<(), JobError> {
    println!("elected for term {}", leadership.token());
    let mut ticks = interval(PERIOD);
    // After a pause, one event is sufficient for all those that were missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = leadership.cancelled() => break,
            _ = ticks.tick() => {
                // A process that was suspended must not send, because another instance may send by
                // now.
                if leadership.is_held() {
                    println!("application is up (term {})", leadership.token());
                }
            }
        }
    }
    println!("stepped down");
    Ok(())
}

//! This example is a program for oe-master-job-executor, moved to Leasehold. It runs with that
//! module's own configuration: `masterJobExecutor` in a `config.json` in the working folder, its
//! environment variables, and its options. `docs/guide/from-oe-master-job-executor.md` explains it
//! line by line.
//!
//! ```text
//! export LEASEHOLD_STORE=sqlite:/tmp/locks.db
//! MASTER_JOB_HEARTBEAT_INTERVAL=2000 PORT=3000 \
//!     cargo run -p leasehold-examples --features config --example oe_master_job_executor
//! ```
//!
//! Start it twice; stop the one that leads with Ctrl-C, and the other takes over.

use std::error::Error;

use leasehold::configuration::Loader;
use leasehold::election::{self, Leadership, StopReason};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let configuration = Loader::new()
        .option("lockName", "JOB-SCHEDULER")
        .option("checkMasterInterval", 60_000)
        .load()?;
    for setting in configuration.all() {
        if let Some(value) = &setting.value {
            println!("{} = {value} ({})", setting.key, setting.origin);
        }
    }

    let master_job = election::job_from_fns(
        |leadership: Leadership| async move {
            println!("start: this instance is the master, term {}", leadership.token());
            Ok(())
        },
        |reason: StopReason| async move { println!("stop: {reason}") },
    );
    let client = configuration.client().await?;
    let master = client.election(configuration.required_lock_name()?)?.spawn(master_job);

    tokio::signal::ctrl_c().await?;
    master.shutdown().await;
    Ok(())
}

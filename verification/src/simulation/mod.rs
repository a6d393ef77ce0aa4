//! The simulation runs the whole engine on paused time: clients, elections, locks and jobs as they
//! ship, over a store, a network and clocks whose faults are drawn from a seed.
//!
//! Everything runs in one thread and one virtual time, so a seed gives the same history again.

mod apply_plan;
mod clock;
mod fenced_register;
mod gate;
mod grant_log;
mod hints;
mod instance;
mod job;
mod kinds;
mod link;
mod lock_workload;
mod message_faults;
mod names;
mod panics;
mod plan;
mod process;
mod recording_queues;
mod recording_store;
mod run;
mod search;
mod settings;
mod shrink;

pub use plan::{Defect, FaultProfile, Operation, SimulationPlan};
pub use run::{RunResult, run};
pub use search::{FailingRun, SearchResult, search};
pub use shrink::shrink;

//! The whole engine on paused time: clients, elections, locks and jobs as they ship, over a store,
//! a network and clocks whose faults are drawn from a seed.
//!
//! Everything runs in one thread and one virtual time, so a seed gives the same history again.

mod clock;
mod fate;
mod gate;
mod hints;
mod job;
mod ledger;
mod link;
mod locker;
mod operate;
mod panics;
mod plan;
mod process;
mod referee;
mod register;
mod run;
mod search;
mod settings;
mod shrink;

pub use plan::{Deed, Defect, Plan, Weather};
pub use run::{Outcome, run};
pub use search::{Failure, Found, search};
pub use shrink::shrink;

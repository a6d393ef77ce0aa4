//! The conformance suite of Leasehold's stores. Each promise of
//! [`LockStore`](leasehold_core::LockStore) is tested by cases that any store can run.
//!
//! A store's author writes a [`Backend`] and a test target without a harness:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use leasehold::{LockStore, MemoryStore, Namespace, Result, async_trait};
//! use leasehold_conformance::{Backend, Suite};
//!
//! #[derive(Default)]
//! struct Mine(MemoryStore);
//!
//! #[async_trait]
//! impl Backend for Mine {
//!     fn name(&self) -> &str {
//!         "mine"
//!     }
//!     async fn open(&self, _: &Namespace) -> Result<Arc<dyn LockStore>> {
//!         Ok(Arc::new(self.0.clone())) // a real one connects to that namespace
//!     }
//!     async fn clean(&self, _: &Namespace) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     Suite::new().backend(Mine::default()).main()
//! }
//! ```
//!
//! and gets one test per case, named `<backend>::<module>::<case>`. A failure names the
//! [`Promise`] that the case verifies. Some cases need more than the trait offers, such as a way to
//! delete a record directly in the datastore. A backend offers these as [`Probes`]. A case whose
//! need is not met is reported as ignored, with the reason.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod case;
pub mod cases;
mod client;
mod ctx;
pub mod expect;
mod failure;
mod gated;
mod job_log;
mod lossy;
mod model;
mod pace;
mod process;
mod promise;
mod run;
mod sequences;
mod suite;
mod tasks;
mod trace;
mod worker;

pub use backend::{
    Backend, DeleteRecord, DisposableServer, Link, OtherProcesses, Outages, OwnPool, OwnServer,
    Pooled, Probes, RoundTrips, Schema, UsePool,
};
pub use case::{Case, Need};
pub use client::{Client, HeldLease};
pub use ctx::Ctx;
pub use failure::{CaseResult, Failure, Verdict};
pub use gated::GatedStore;
pub use job_log::{Entry, JobBehaviour, JobLog};
pub use lossy::LossyStore;
pub use promise::Promise;
pub use run::run_case;
pub use suite::{OwnCase, Suite};
pub use tasks::{Task, race, spawn};
pub use trace::{CLOCK_TOLERANCE, Trace, Trusted};

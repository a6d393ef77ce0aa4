//! This module handles one lease, from the attempt to its release.
//!
//! The rules are pure: the [machine](Machine), its [schedule](LeaseSchedule) and the plan of its
//! renewals use no clock, no I/O and no randomness. Around them, `requests` sends the machine's
//! requests to the store, and `trust_deadline` says whether a lease is held.

mod attempt;
mod entry_options;
mod hint_spread;
mod in_flight;
mod loss_reason;
pub mod machine;
mod renewal_plan;
mod renewals;
mod requests;
mod schedule;
mod tick_timer;
mod trust_deadline;

pub(crate) use attempt::{AcquireAttempt, AcquireCall};
pub(crate) use entry_options::EntryOptions;
pub(crate) use hint_spread::{HintRaces, HintSpread};
pub(crate) use in_flight::{RequestedRenewal, last_renewal, make_room};
pub use loss_reason::LossReason;
pub use machine::Machine;
pub(crate) use renewal_plan::{AfterFailure, RenewalPlan};
pub(crate) use renewals::InFlightRenewals;
pub(crate) use requests::{GrantedLease, LeaseRequests, Reply};
pub use schedule::{LeaseSchedule, RenewalWindow};
pub(crate) use tick_timer::TickTimer;
pub(crate) use trust_deadline::TrustDeadline;

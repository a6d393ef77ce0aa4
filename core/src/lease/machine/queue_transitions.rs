//! These transitions are those of a machine whose entry waits in a queue.

use std::time::Duration;

use super::super::LeaseSchedule;
use super::Machine;
use super::action::Action;
use super::event::RenewReply;
use super::state::{Cooldown, State};
use super::transitions::renew;
use super::waiting_entry::WaitingEntry;
use crate::{FencingToken, Moment};

impl Machine {
    /// Handles the reply to an attempt whose entry waits, or has too little time left to be
    /// trusted. A hint may have come since the request was sent.
    pub(super) fn on_queued(
        &mut self,
        token: FencingToken,
        (sent, left): (Moment, Duration),
        recheck: Option<Duration>,
        hinted: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let ends_at = sent + left;
        // After a reply that was too slow, the entry may have expired.
        if self.leaving || now >= ends_at {
            let cooldown = if self.leaving { Cooldown::None } else { Cooldown::Failure };
            return self.start_release(ends_at, cooldown, now, actions);
        }
        let schedule = LeaseSchedule::granted(self.timing.clone(), sent, left);
        let mut entry = WaitingEntry::new(token, schedule, recheck, now);
        let at_once = if hinted { entry.on_hint(now) } else { None };
        actions.push(renew(at_once.unwrap_or_else(|| entry.window())));
        self.state = State::Queued(Box::new(entry));
    }

    /// Handles the reply to a renewal of an entry that waits.
    pub(super) fn on_entry_renewed(
        &mut self,
        sent: Moment,
        reply: RenewReply,
        in_flight: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let State::Queued(entry) = &mut self.state else { return };
        let (left, recheck) = match reply {
            RenewReply::Extended { left } => {
                let schedule = LeaseSchedule::granted(self.timing.clone(), sent, left);
                if now < schedule.step_down_at() {
                    let token = entry.token();
                    return self.hold(token, schedule, now, actions);
                }
                // The entry holds the lock, but the reply was too slow for it to be trusted.
                (left, None)
            }
            RenewReply::Queued { left, recheck } => (left, Some(recheck)),
            RenewReply::Lost => {
                self.maybe_granted = false;
                return self.start_attempt(actions);
            }
            // The entry would never be renewed again, even after the name was enabled.
            RenewReply::Disabled { .. } => {
                let ends_at = entry.ends_at();
                return self.start_release(ends_at, Cooldown::None, now, actions);
            }
            RenewReply::Failed => {
                return actions.extend(entry.record_failure(sent, now, in_flight).map(renew));
            }
        };
        let next = entry.record_extension(sent, left, recheck, now, in_flight);
        actions.extend(next.map(renew));
    }
}

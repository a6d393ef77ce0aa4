//! This module defines the effect of the calls about the entries of a name.

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, EnterOptions, LeaseId, LockKind, ReleaseOutcome, RenewOutcome,
};

use super::attempt::{Answer, Attempt, Reply, answers, names_both};
use super::state::{State, is_told};
use super::window::{End, Window, lasts};

impl State {
    pub(super) fn enter(
        &mut self,
        by: &Attempt,
        options: &EnterOptions,
        reply: Reply<'_, Answer>,
        at: Window,
    ) -> bool {
        use AcquireOutcome::{Disabled, Granted, Held, Queued};
        use Answer::{Conflict, Outcome};
        if let Some(disabled) = &self.disabled {
            return answers!(reply, Outcome(Disabled(told)) if is_told(disabled, told));
        }
        let in_use = self.lease.as_ref().map(|_| LockKind::Exclusive).or(self.queue.kind());
        if let Some(kind) = in_use.filter(|kind| *kind != options.kind) {
            return answers!(reply, Conflict(message) if names_both(message, kind, options.kind));
        }
        if let Some(position) = self.queue.position(by.id) {
            if let Some((why, _)) = self.queue.must_leave(position) {
                return answers!(reply, Outcome(Disabled(told)) if told.reason == *why);
            }
            let (queue, token) = (&mut self.queue, &mut self.token);
            return answers!(
                reply,
                Outcome(told) if queue.may_enter_as(position, told, token, at)
            );
        }
        if !options.wait && !self.queue.has_room(options) {
            let (queue, token) = (&mut self.queue, &mut self.token);
            return answers!(reply, Outcome(Held(told)) if queue.is_first(told, token, at));
        }
        let left = match reply {
            Some(Outcome(Granted(told))) => told.left,
            Some(Outcome(Queued(told))) => told.left,
            _ => options.ttl,
        };
        self.grant_token();
        let position = self.queue.push(by, options, End::after(left, at));
        answers!(
            reply,
            Outcome(told) if lasts(left, options.ttl, at)
                && self.queue.may_enter_as(position, told, &mut self.token, at)
        )
    }

    pub(super) fn renew_entry(
        &mut self,
        id: LeaseId,
        ttl: Duration,
        reply: Reply<'_, RenewOutcome>,
        at: Window,
    ) -> bool {
        use RenewOutcome::{Disabled, Extended, Lost, Queued};
        let Some(position) = self.queue.position(id) else { return answers!(reply, Lost) };
        if let Some((why, end)) = self.queue.must_leave(position) {
            return answers!(
                reply,
                Disabled { reason, left, .. } if reason == why && end.is_in(*left, at)
            );
        }
        // The entry was extended, and had expired before the store read the result.
        if matches!(reply, Some(Lost)) {
            self.queue.remove(position);
            return at.outlasts(ttl);
        }
        let left = match reply {
            Some(Extended { left, .. } | Queued { left, .. }) => *left,
            _ => ttl,
        };
        self.queue.extend(position, End::after(left, at));
        reply.is_none_or(|told| {
            lasts(left, ttl, at)
                && self.queue.may_be_renewed_as(position, told, &mut self.token, at)
        })
    }

    pub(super) fn leave(&mut self, id: LeaseId, reply: Reply<'_, ReleaseOutcome>) -> bool {
        let Some(position) = self.queue.position(id) else {
            return answers!(reply, ReleaseOutcome::NotHeld);
        };
        self.queue.remove(position);
        answers!(reply, ReleaseOutcome::Released)
    }
}

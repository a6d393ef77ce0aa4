//! This module defines one state of a name, and the effect of each call on it.

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, DisableOptions, DisableOutcome, Disablement, EnableOutcome, LeaseId, LockKind,
    LockRecord, Reason, ReleaseOutcome, RenewOutcome,
};

use super::attempt::{Answer, Attempt, Reply, answers, names_both};
use super::queue::Queue;
use super::token::Token;
use super::window::{End, Window, lasts};

/// This is one state that a name may be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// This is the fencing token of the latest grant or entry.
    pub(super) token: Token,
    /// This lease is in force. There are no entries then.
    pub(super) lease: Option<Lease>,
    pub(super) queue: Queue,
    /// The name is disabled with this reason and by this client.
    pub(super) disabled: Option<DisableOptions>,
    /// This is true once the name was granted, entered or disabled.
    used: bool,
}

/// This is a lease in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    of: Attempt,
    end: End,
    /// Its holder must stop for this reason.
    ending: Option<Reason>,
}

impl State {
    pub(super) fn unused() -> Self {
        let (token, queue) = (Token::Is(None), Queue::default());
        Self { token, lease: None, queue, disabled: None, used: false }
    }

    /// Returns the states that are possible when a call is decided, because leases and entries may
    /// have expired.
    pub(super) fn as_time_passes(&self, at: Window) -> Vec<Self> {
        let queues = self.queue.as_time_passes(at);
        let in_force = queues.into_iter().map(|queue| Self { queue, ..self.clone() });
        let Some(Lease { end, .. }) = self.lease else { return in_force.collect() };
        let mut possible = Vec::new();
        for state in in_force {
            if end.may_be_past(at) {
                possible.push(Self { lease: None, ..state.clone() });
            }
            if end.may_be_ahead(at) {
                possible.push(state);
            }
        }
        possible
    }

    /// Notes that the name gets its next token.
    pub(super) fn grant_token(&mut self) {
        self.queue.keep_tokens(self.token);
        self.token = self.token.next();
        self.used = true;
    }

    /// Returns the lease in force if it has that id.
    fn lease_of(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.lease.as_mut().filter(|lease| lease.of.id == id)
    }

    pub(super) fn acquire(
        &mut self,
        by: &Attempt,
        ttl: Duration,
        reply: Reply<'_, Answer>,
        at: Window,
    ) -> bool {
        use AcquireOutcome::{Disabled, Granted, Held};
        use Answer::{Conflict, Outcome};
        let in_use = self.queue.kind();
        let conflicts = |message: &str| {
            in_use.is_some_and(|kind| names_both(message, kind, LockKind::Exclusive))
        };
        if let Some(disabled) = &self.disabled {
            // A name that is disabled and in use as another kind may be refused for either reason.
            return match reply {
                Some(Conflict(message)) => conflicts(message),
                reply => answers!(reply, Outcome(Disabled(told)) if is_told(disabled, told)),
            };
        }
        if in_use.is_some() {
            return answers!(reply, Conflict(message) if conflicts(message));
        }
        let token = &mut self.token;
        match &self.lease {
            Some(lease) if lease.of.id == by.id => answers!(
                reply,
                Outcome(Granted(told)) if token.is(Some(told.token))
                    && lease.end.is_in(told.left, at)
            ),
            Some(lease) => answers!(
                reply,
                Outcome(Held(told)) if token.is(Some(told.token))
                    && lease.end.is_in(told.left, at)
                    && lease.of.holder == told.holder
            ),
            None => {
                let left = if let Some(Outcome(Granted(told))) = reply { told.left } else { ttl };
                self.grant_token();
                self.lease =
                    Some(Lease { of: by.clone(), end: End::after(left, at), ending: None });
                answers!(
                    reply,
                    Outcome(Granted(told)) if self.token.is(Some(told.token))
                        && lasts(told.left, ttl, at)
                )
            }
        }
    }

    pub(super) fn renew(
        &mut self,
        id: LeaseId,
        ttl: Duration,
        reply: Reply<'_, RenewOutcome>,
        at: Window,
    ) -> bool {
        use RenewOutcome::{Disabled, Extended, Lost};
        let Some(lease) = self.lease_of(id) else { return answers!(reply, Lost) };
        match &lease.ending {
            Some(why) => answers!(
                reply,
                Disabled { reason, left, .. } if reason == why && lease.end.is_in(*left, at)
            ),
            // The lease was extended, and had expired before the store read the result.
            None if matches!(reply, Some(Lost)) => {
                self.lease = None;
                at.outlasts(ttl)
            }
            None => {
                let left = if let Some(Extended { left, .. }) = reply { *left } else { ttl };
                lease.end = End::after(left, at);
                answers!(reply, Extended { left, .. } if lasts(*left, ttl, at))
            }
        }
    }

    pub(super) fn release(&mut self, id: LeaseId, reply: Reply<'_, ReleaseOutcome>) -> bool {
        if self.lease_of(id).is_none() {
            return answers!(reply, ReleaseOutcome::NotHeld);
        }
        self.lease = None;
        answers!(reply, ReleaseOutcome::Released)
    }

    pub(super) fn disable(
        &mut self,
        options: &DisableOptions,
        reply: Reply<'_, DisableOutcome>,
    ) -> bool {
        if let Some(disabled) = &self.disabled {
            return answers!(
                reply,
                DisableOutcome::AlreadyDisabled(told) if is_told(disabled, told)
            );
        }
        self.disabled = Some(options.clone());
        self.used = true;
        if let Some(lease) = &mut self.lease {
            lease.ending = Some(options.reason.clone());
        }
        self.queue.disable(&options.reason);
        answers!(reply, DisableOutcome::Disabled)
    }

    pub(super) fn enable(&mut self, reply: Reply<'_, EnableOutcome>) -> bool {
        match self.disabled.take() {
            // The lease in force and the live entries must still end.
            Some(_) => answers!(reply, EnableOutcome::Enabled),
            None => answers!(reply, EnableOutcome::AlreadyEnabled),
        }
    }

    pub(super) fn see(&mut self, record: Option<&LockRecord>, at: Window) -> bool {
        let Some(record) = record else {
            // A store may forget a name that was disabled and enabled but never granted.
            let unused = self.lease.is_none() && self.queue.kind().is_none();
            return unused && self.token.is(None) && self.disabled.is_none();
        };
        let lease = match (&self.lease, &record.lease) {
            (None, None) => true,
            (Some(lease), Some(told)) => {
                lease.of.id == told.id
                    && lease.of.holder == told.holder
                    && lease.ending == told.ending
                    && lease.end.is_in(told.left, at)
            }
            _ => false,
        };
        let disabled = match (&self.disabled, &record.disabled) {
            (None, None) => true,
            (Some(disabled), Some(told)) => is_told(disabled, told),
            _ => false,
        };
        let queue = self.queue.is_shown_by(record, &mut self.token, at);
        self.used && lease && disabled && queue && self.token.is(record.token)
    }

    /// Describes the state for a report that an answer contradicts it.
    pub(super) fn in_words(&self, at: Window) -> String {
        let mut words = match &self.lease {
            Some(Lease { of, end, ending }) => {
                let ending = ending.as_ref().map(|why| format!(", to end since {why:?}"));
                format!("held by {}, {}{}", of.number, end.in_words(at), ending.unwrap_or_default())
            }
            None => self.queue.in_words(at).unwrap_or_else(|| {
                if self.used { "free".to_owned() } else { "never used".to_owned() }
            }),
        };
        match self.token {
            Token::Is(Some(token)) => words += &format!(", latest token {token}"),
            Token::IsAbove(Some(token)) => words += &format!(", latest token above {token}"),
            Token::Is(None) | Token::IsAbove(None) => {}
        }
        if let Some(DisableOptions { reason, .. }) = &self.disabled {
            words += &format!(", disabled since {reason:?}");
        }
        words
    }
}

/// Returns whether the store reports this disablement. The time of the disable is only displayed
/// and not compared.
pub(super) fn is_told(disabled: &DisableOptions, told: &Disablement) -> bool {
    disabled.reason == told.reason && disabled.by == told.by
}

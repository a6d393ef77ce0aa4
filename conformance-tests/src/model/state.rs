//! This module defines one state of a name, and the effect of each call on it.

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, DisableOptions, DisableOutcome, Disablement, EnableOutcome, FencingToken,
    LeaseId, LockRecord, Reason, ReleaseOutcome, RenewOutcome,
};

use super::attempt::{Attempt, Reply};
use super::window::{End, Window, lasts};

/// This is one state that a name may be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// This is the fencing token of the latest grant.
    token: Token,
    /// This lease is in force.
    lease: Option<Lease>,
    /// The name is disabled with this reason and by this client.
    disabled: Option<DisableOptions>,
    /// This is true once the name was granted or disabled.
    used: bool,
}

/// This is a lease in force.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lease {
    of: Attempt,
    end: End,
    /// Its holder must stop for this reason.
    ending: Option<Reason>,
}

/// This is what is known of a fencing token. There is no token before the first grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Is(Option<FencingToken>),
    /// The answer to a grant was lost, so the token is larger than this one.
    IsAbove(Option<FencingToken>),
}

impl Token {
    /// Returns whether the token may be the one that the store reported. If so, it is known from
    /// now on.
    fn is(&mut self, told: Option<FencingToken>) -> bool {
        let agrees = match *self {
            Self::Is(token) => told == token,
            // `None` is less than every token.
            Self::IsAbove(token) => told > token,
        };
        if agrees {
            *self = Self::Is(told);
        }
        agrees
    }

    /// Returns the token of the next grant.
    fn next(self) -> Self {
        match self {
            Self::Is(token) | Self::IsAbove(token) => Self::IsAbove(token),
        }
    }
}

/// Returns whether the answer, if it was received, is this one.
macro_rules! answers {
    ($reply:expr, $answer:pat $(if $agrees:expr)?) => {
        match $reply {
            None => true,
            Some($answer) => true $(&& $agrees)?,
            Some(_) => false,
        }
    };
}

impl State {
    pub(super) fn unused() -> Self {
        Self { token: Token::Is(None), lease: None, disabled: None, used: false }
    }

    /// Returns the states that are possible when a call is decided, because leases may have
    /// expired.
    pub(super) fn as_time_passes(&self, at: Window) -> Vec<Self> {
        let over = Self { lease: None, ..self.clone() };
        let Some(Lease { end, .. }) = self.lease else { return vec![over] };
        let mut possible = Vec::new();
        if end.may_be_ahead(at) {
            possible.push(self.clone());
        }
        if end.may_be_past(at) {
            possible.push(over);
        }
        possible
    }

    /// Returns the lease in force if it has that id.
    fn lease_of(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.lease.as_mut().filter(|lease| lease.of.id == id)
    }

    pub(super) fn acquire(
        &mut self,
        by: &Attempt,
        ttl: Duration,
        reply: Reply<'_, AcquireOutcome>,
        at: Window,
    ) -> bool {
        use AcquireOutcome::{Disabled, Granted, Held};
        if let Some(disabled) = &self.disabled {
            return answers!(reply, Disabled(told) if is_told(disabled, told));
        }
        let token = &mut self.token;
        match &self.lease {
            Some(lease) if lease.of.id == by.id => answers!(
                reply,
                Granted(told) if token.is(Some(told.token)) && lease.end.is_in(told.left, at)
            ),
            Some(lease) => answers!(
                reply,
                Held(told) if token.is(Some(told.token))
                    && lease.end.is_in(told.left, at)
                    && lease.of.holder == told.holder
            ),
            None => {
                let left = if let Some(Granted(told)) = reply { told.left } else { ttl };
                *token = token.next();
                self.lease =
                    Some(Lease { of: by.clone(), end: End::after(left, at), ending: None });
                self.used = true;
                answers!(
                    reply,
                    Granted(told) if token.is(Some(told.token)) && lasts(told.left, ttl, at)
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
        answers!(reply, DisableOutcome::Disabled)
    }

    pub(super) fn enable(&mut self, reply: Reply<'_, EnableOutcome>) -> bool {
        match self.disabled.take() {
            // The lease in force must still end.
            Some(_) => answers!(reply, EnableOutcome::Enabled),
            None => answers!(reply, EnableOutcome::AlreadyEnabled),
        }
    }

    pub(super) fn see(&mut self, record: Option<&LockRecord>, at: Window) -> bool {
        let Some(record) = record else {
            // A store may forget a name that was disabled and enabled but never granted.
            return self.token.is(None) && self.lease.is_none() && self.disabled.is_none();
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
        let unqueued = record.queue.is_none();
        self.used && lease && disabled && unqueued && self.token.is(record.token)
    }

    /// Describes the state for a report that an answer contradicts it.
    pub(super) fn in_words(&self, at: Window) -> String {
        let mut words = match &self.lease {
            Some(Lease { of, end, ending }) => {
                let ending = ending.as_ref().map(|why| format!(", to end since {why:?}"));
                format!("held by {}, {}{}", of.number, end.in_words(at), ending.unwrap_or_default())
            }
            None if self.used => "free".to_owned(),
            None => "never used".to_owned(),
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
fn is_told(disabled: &DisableOptions, told: &Disablement) -> bool {
    disabled.reason == told.reason && disabled.by == told.by
}

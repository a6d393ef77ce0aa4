//! This module defines the entries of a name, and what a store may say about them.
//!
//! It states the rule of queues by itself: *an entry holds the lock if and only if the weights of
//! the live entries up to and including it sum up to at most the capacity.*

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, EnterOptions, EntryRecord, FencingToken, Held, LeaseId, LockKind, LockRecord,
    Reason, RenewOutcome,
};

use super::attempt::Attempt;
use super::token::Token;
use super::window::{End, Window};

/// These are the live entries of a name, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    entries: Vec<Entry>,
}

/// This is a live entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    of: Attempt,
    /// All entries of a name have the same kind.
    kind: LockKind,
    weight: u32,
    /// The entry has this token. `None` means that the entry is the latest grant of the name, so it
    /// has the token of the name.
    token: Option<Token>,
    end: End,
    /// Its client must leave for this reason.
    ending: Option<Reason>,
}

impl Queue {
    /// Returns the queues that are possible when a call is decided, because entries may have
    /// expired.
    pub(super) fn as_time_passes(&self, at: Window) -> Vec<Self> {
        let mut possible = vec![Self::default()];
        for entry in &self.entries {
            let live = possible.iter().filter(|_| entry.end.may_be_ahead(at)).map(|ahead| {
                let mut queue = ahead.clone();
                queue.entries.push(entry.clone());
                queue
            });
            let expired = possible.iter().filter(|_| entry.end.may_be_past(at)).cloned();
            possible = live.chain(expired).collect();
        }
        possible
    }

    /// Returns the kind of the lock, if there are entries.
    pub(super) fn kind(&self) -> Option<LockKind> {
        self.entries.first().map(|entry| entry.kind)
    }

    /// Returns where the entry with that id is.
    pub(super) fn position(&self, id: LeaseId) -> Option<usize> {
        self.entries.iter().position(|entry| entry.of.id == id)
    }

    /// Returns why the entry at that position must leave, if it must, and its end.
    pub(super) fn must_leave(&self, position: usize) -> Option<(&Reason, End)> {
        let entry = self.entries.get(position)?;
        Some((entry.ending.as_ref()?, entry.end))
    }

    /// Returns whether an entry of that weight would hold the lock at once.
    pub(super) fn has_room(&self, options: &EnterOptions) -> bool {
        let used: u64 = self.entries.iter().map(|entry| u64::from(entry.weight)).sum();
        used + u64::from(options.weight) <= u64::from(options.kind.capacity())
    }

    /// Adds an entry, which is the latest grant of the name, and returns its position.
    pub(super) fn push(&mut self, of: &Attempt, options: &EnterOptions, end: End) -> usize {
        let (of, kind, weight) = (of.clone(), options.kind, options.weight);
        self.entries.push(Entry { of, kind, weight, token: None, end, ending: None });
        self.entries.len() - 1
    }

    /// Notes before the next grant that the entries keep their tokens. `latest` is the token of the
    /// name.
    pub(super) fn keep_tokens(&mut self, latest: Token) {
        for entry in &mut self.entries {
            entry.token.get_or_insert(latest);
        }
    }

    pub(super) fn remove(&mut self, position: usize) {
        self.entries.remove(position);
    }

    pub(super) fn extend(&mut self, position: usize, end: End) {
        if let Some(entry) = self.entries.get_mut(position) {
            entry.end = end;
        }
    }

    /// Tells all entries to leave. The latest reason applies.
    pub(super) fn disable(&mut self, reason: &Reason) {
        for entry in &mut self.entries {
            entry.ending = Some(reason.clone());
        }
    }

    fn holds(&self, position: usize) -> bool {
        let until: u64 =
            self.entries.iter().take(position + 1).map(|entry| u64::from(entry.weight)).sum();
        self.kind().is_some_and(|kind| until <= u64::from(kind.capacity()))
    }

    /// Returns whether the entry at that position may have this token. `latest` is the token of the
    /// name.
    fn has_token(&mut self, position: usize, told: FencingToken, latest: &mut Token) -> bool {
        let Some(entry) = self.entries.get_mut(position) else { return false };
        entry.token.as_mut().unwrap_or(latest).is(Some(told))
    }

    fn may_have_left(&self, position: usize, left: Duration, at: Window) -> bool {
        self.entries.get(position).is_some_and(|entry| entry.end.is_in(left, at))
    }

    /// Returns whether no entry ahead of that position must expire within this time.
    fn may_recheck_after(&self, position: usize, time: Duration, at: Window) -> bool {
        self.entries.iter().take(position).all(|entry| entry.end.may_outlast(time, at))
    }

    /// Returns whether the store may report this as the first entry.
    pub(super) fn is_first(&mut self, told: &Held, latest: &mut Token, at: Window) -> bool {
        self.entries.first().is_some_and(|first| first.of.holder == told.holder)
            && self.may_have_left(0, told.left, at)
            && self.has_token(0, told.token, latest)
    }

    /// Returns whether the attempt with the entry at that position may get this outcome.
    pub(super) fn may_enter_as(
        &mut self,
        position: usize,
        told: &AcquireOutcome,
        latest: &mut Token,
        at: Window,
    ) -> bool {
        match told {
            AcquireOutcome::Granted(told) => {
                self.holds(position)
                    && self.may_have_left(position, told.left, at)
                    && self.has_token(position, told.token, latest)
                    && self.has_token(0, told.floor, latest)
            }
            AcquireOutcome::Queued(told) => {
                !self.holds(position)
                    && self.may_have_left(position, told.left, at)
                    && self.has_token(position, told.token, latest)
                    && told.ahead == position
                    && self.may_recheck_after(position, told.recheck, at)
                    && self.is_first(&told.held, latest, at)
            }
            AcquireOutcome::Held(_) | AcquireOutcome::Disabled(_) => false,
        }
    }

    /// Returns whether the renewal of the entry at that position may have this outcome. The time
    /// that is left is not compared.
    pub(super) fn may_be_renewed_as(
        &mut self,
        position: usize,
        told: &RenewOutcome,
        latest: &mut Token,
        at: Window,
    ) -> bool {
        match told {
            RenewOutcome::Extended { floor, .. } => {
                self.holds(position) && floor.is_some_and(|floor| self.has_token(0, floor, latest))
            }
            RenewOutcome::Queued { ahead, recheck, .. } => {
                !self.holds(position)
                    && *ahead == position
                    && self.may_recheck_after(position, *recheck, at)
            }
            _ => false,
        }
    }

    /// Returns whether the record shows this queue.
    pub(super) fn is_shown_by(
        &mut self,
        record: &LockRecord,
        latest: &mut Token,
        at: Window,
    ) -> bool {
        let Some(kind) = self.kind() else {
            return record.queue.is_none() && record.kind == LockKind::Exclusive;
        };
        let Some(told) = &record.queue else { return false };
        let holding = (0..self.entries.len()).filter(|position| self.holds(*position)).count();
        let mut entries = told.entries.iter().enumerate();
        record.kind == kind
            && told.entries.len() == self.entries.len()
            && told.holding == holding
            && told.entries.is_sorted_by(|one, next| one.token < next.token)
            && told.entries.last().map(|entry| entry.token) <= record.token
            && entries.all(|(position, entry)| self.is_shown_by_entry(position, entry, latest, at))
    }

    fn is_shown_by_entry(
        &mut self,
        position: usize,
        told: &EntryRecord,
        latest: &mut Token,
        at: Window,
    ) -> bool {
        let agrees = |entry: &Entry| {
            entry.of.id == told.id
                && entry.of.holder == told.holder
                && entry.weight == told.weight
                && entry.ending == told.ending
        };
        self.entries.get(position).is_some_and(agrees)
            && self.may_have_left(position, told.left, at)
            && self.has_token(position, told.token, latest)
    }

    /// Describes the queue for a report, if there are entries.
    pub(super) fn in_words(&self, at: Window) -> Option<String> {
        let entry = |(position, entry): (usize, &Entry)| {
            let Entry { of, weight, end, ending, .. } = entry;
            let standing = if self.holds(position) { "holds" } else { "waits" };
            let ending = ending.as_ref().map(|why| format!(", to leave since {why:?}"));
            let (left, ending) = (end.in_words(at), ending.unwrap_or_default());
            format!("{} {standing} with weight {weight}, {left}{ending}", of.number)
        };
        let entries: Vec<String> = self.entries.iter().enumerate().map(entry).collect();
        self.kind().map(|kind| format!("{kind} ({})", entries.join("; ")))
    }
}

//! This module has the calls of a broken store about queues. It decides by the rule of core, except
//! for what its fault breaks.

use leasehold_core::{
    AcquireOutcome, EnterOptions, FencingToken, Grant, Hint, LeaseId, LockName, LockRecord,
    LockStore, MAX_ENTRIES, Reason, ReleaseOutcome, RenewOptions, RenewOutcome, Result, check_ttl,
};
use tokio::task::yield_now;

use super::super::fault::Fault;
use super::queue::{Queue, QueueEntry};
use super::{BrokenStore, Entry};

impl BrokenStore {
    /// Returns the record by which this store decides about the entry of that lease.
    fn seen(&self, name: &LockName, entry: &Entry, lease: LeaseId) -> Result<LockRecord> {
        let (record, now) = (self.record(name, entry)?, self.now());
        let Some(queue) = &entry.queue else { return Ok(record) };
        let mut entries = queue.records(now)?;
        if self.has(Fault::DeadEntriesBlock) {
            entries = queue.entries.iter().map(|each| each.record(now)).collect::<Result<_>>()?;
        }
        if self.has(Fault::IgnoresWeights) {
            entries.iter_mut().for_each(|entry| entry.weight = 1);
        }
        if self.has(Fault::LightEntriesOvertake) {
            let mut left = queue.kind.capacity();
            entries.retain(|entry| match left.checked_sub(entry.weight) {
                Some(rest) => {
                    left = rest;
                    true
                }
                None => entry.id == lease,
            });
        }
        Ok(record.with_queue(queue.kind, entries))
    }

    /// Returns the record by which this store decides about an attempt, before it makes an entry.
    fn seen_before(
        &self,
        name: &LockName,
        entry: &Entry,
        options: &EnterOptions,
    ) -> Result<LockRecord> {
        let mut record = self.seen(name, entry, options.lease)?;
        if self.has(Fault::EnterForgetsDisable) {
            record.disabled = None;
        }
        if self.has(Fault::EnterIgnoresTheLease) {
            record.lease = None;
        }
        if self.has(Fault::MixesKinds) {
            record.kind = options.kind;
        }
        if let Some(queue) = &mut record.queue
            && self.has(Fault::QueueHasNoMaximum)
        {
            queue.entries.truncate(MAX_ENTRIES - 1);
        }
        Ok(record)
    }

    fn changed(&self, outcome: AcquireOutcome, options: &EnterOptions) -> AcquireOutcome {
        match outcome {
            AcquireOutcome::Granted(grant) => {
                let whole = self.has(Fault::RetryReportsTheWholeTtl);
                let left = if whole { options.ttl } else { grant.left };
                let own = self.has(Fault::FloorIsTheOwnToken);
                let floor = if own { grant.token } else { grant.floor };
                AcquireOutcome::Granted(Grant::new(grant.token, left).with_floor(floor))
            }
            other => other,
        }
    }

    pub(super) async fn enter_queue(
        &self,
        name: &LockName,
        options: &EnterOptions,
    ) -> Result<AcquireOutcome> {
        check_ttl(options.ttl, &self.capabilities())?;
        if !self.has(Fault::EntersWithAnyWeight) {
            options.check()?;
        }
        let mut options = options.clone();
        options.wait |= self.has(Fault::WaitsAnyway);
        let key = self.key(name);
        self.trip().await?;
        let found = self.shared.entries().get(&key).and_then(|entry| entry.queue.clone());
        if self.has(Fault::ChecksThenEnters) {
            yield_now().await;
        }
        let outcome = {
            let mut entries = self.shared.entries();
            let mut unused = Entry::default();
            let entry = entries.get_mut(&key).unwrap_or(&mut unused);
            if self.has(Fault::ChecksThenEnters) {
                entry.queue = found;
            }
            let outcome = self.decide(name, entry, &options)?;
            if entry.token > 0 && !entries.contains_key(&key) {
                entries.insert(key, unused);
            }
            outcome
        };
        self.reply(self.changed(outcome, &options))
    }

    fn decide(
        &self,
        name: &LockName,
        entry: &mut Entry,
        options: &EnterOptions,
    ) -> Result<AcquireOutcome> {
        let now = self.now();
        if let Some(queue) = &mut entry.queue
            && self.has(Fault::RetryEntersAgain)
        {
            queue.remove(options.lease);
        }
        if let Some(queue) = &mut entry.queue
            && self.has(Fault::RetryExtendsTheEntry)
        {
            let own = queue.entries.iter_mut().filter(|each| each.id == options.lease);
            own.filter(|each| now < each.expires).for_each(|each| each.expires = now + options.ttl);
        }
        if let Some(outcome) = self.seen_before(name, entry, options)?.enter_outcome(options)? {
            return Ok(outcome);
        }
        let in_queue = entry.queue.as_ref().map_or(0, |queue| queue.entries.len() as u64);
        let restarts = self.has(Fault::EntryTokensRestart);
        let token = if restarts { in_queue + 1 } else { self.next_token(entry) };
        entry.token = token;
        entry.lease = None;
        let live = entry.queue.take().filter(|queue| queue.is_in_use(now));
        let kept = live.unwrap_or(Queue { kind: options.kind, entries: Vec::new() });
        let mut queue = Queue { kind: options.kind, ..kept };
        if !self.has(Fault::DeadEntriesBlock) {
            queue.entries.retain(|each| now < each.expires);
        }
        queue.entries.push(QueueEntry {
            id: options.lease,
            holder: options.holder.clone(),
            token,
            weight: options.weight,
            entered: now,
            expires: now + options.ttl,
            ending: None,
        });
        entry.queue = Some(queue);
        let mut record = self.seen(name, entry, options.lease)?;
        if self.has(Fault::EnterForgetsDisable) {
            record.disabled = None;
        }
        // The entry was just made, so it has a standing.
        let outcome = record.enter_outcome(options)?;
        Ok(outcome
            .unwrap_or(AcquireOutcome::Granted(Grant::new(FencingToken::new(token)?, options.ttl))))
    }

    pub(super) async fn leave_queue(
        &self,
        name: &LockName,
        lease: LeaseId,
    ) -> Result<ReleaseOutcome> {
        self.trip().await?;
        let hint = {
            let mut entries = self.shared.entries();
            let entry = entries.get_mut(&self.key(name));
            entry.map(|entry| self.remove_entry(name, entry, lease)).transpose()?.flatten()
        };
        let Some(hint) = hint else { return self.reply(ReleaseOutcome::NotHeld) };
        match hint {
            Some(Hint::Entries(name, _)) if self.has(Fault::HintNamesTheLeaver) => {
                self.send_hint(Hint::Entries(name, vec![lease]));
            }
            Some(hint) => self.send_hint(hint),
            None => {}
        }
        self.reply(ReleaseOutcome::Released)
    }

    /// Removes the entry if it is live, and returns the hint that is needed, if any.
    #[allow(clippy::option_option, reason = "a removed entry may need no hint")]
    fn remove_entry(
        &self,
        name: &LockName,
        entry: &mut Entry,
        lease: LeaseId,
    ) -> Result<Option<Option<Hint>>> {
        let Some(queue) = &mut entry.queue else { return Ok(None) };
        let now = self.now();
        let any_id = self.has(Fault::LeaveIgnoresTheId);
        let own = |each: &QueueEntry| now < each.expires && (each.id == lease || any_id);
        let Some(at) = queue.entries.iter().position(own) else { return Ok(None) };
        if self.has(Fault::LeaveKeepsWaiters) && at >= queue.holding() {
            return Ok(Some(None));
        }
        let removed = queue.entries.remove(at).record(now)?;
        Ok(Some(self.record(name, entry)?.hint_of_leaving(&removed)))
    }

    pub(super) fn renew_entry(
        &self,
        entry: &mut Entry,
        renewal: &RenewOptions,
    ) -> Result<RenewOutcome> {
        let now = self.now();
        let Some(queue) = &mut entry.queue else { return Ok(RenewOutcome::Lost) };
        let holding = queue.holding();
        let revives = self.has(Fault::RenewRevivesEntries);
        let only_holders = self.has(Fault::WaitersAreNotExtended);
        for (at, each) in queue.entries.iter_mut().enumerate() {
            let is_live = now < each.expires || revives;
            if each.id == renewal.lease
                && is_live
                && each.ending.is_none()
                && (at < holding || !only_holders)
            {
                each.expires = now + renewal.ttl;
            }
        }
        let record = self.seen(&renewal.name, entry, renewal.lease)?;
        Ok(match record.renew_entry_outcome(renewal.lease) {
            RenewOutcome::Queued { left, .. } if self.has(Fault::RenewGrantsWaiters) => {
                RenewOutcome::extended_entry(left, FencingToken::new(entry.token)?)
            }
            outcome => outcome,
        })
    }

    /// Tells the entries to leave.
    pub(super) fn end_entries(&self, entry: &mut Entry, reason: &Reason) {
        let Some(queue) = &mut entry.queue else { return };
        let holding = queue.holding();
        let told =
            if self.has(Fault::DisableForgetsWaiters) { holding } else { queue.entries.len() };
        queue.entries.iter_mut().take(told).for_each(|each| each.ending = Some(reason.clone()));
    }

    pub(super) fn entries_enabled(&self, entry: &mut Entry) {
        if let Some(queue) = &mut entry.queue
            && self.has(Fault::EnableForgetsEntries)
        {
            queue.entries.iter_mut().for_each(|each| each.ending = None);
        }
    }

    /// Answers the release of a lease that is not that of an exclusive lock.
    pub(super) fn release_entry(&self, entry: &mut Entry, lease: LeaseId) -> ReleaseOutcome {
        let Some(queue) = &mut entry.queue else { return ReleaseOutcome::NotHeld };
        if self.has(Fault::ReleaseRemovesEntries) && queue.remove(lease) {
            ReleaseOutcome::Released
        } else {
            ReleaseOutcome::NotHeld
        }
    }
}

//! This module defines the store of the model, for one name. It decides by the rule that ships.

use leasehold_core::{
    AcquireOutcome, EnterOptions, EntryRecord, FencingToken, Hint, LockRecord, RenewOutcome,
};

use super::mutation::Mutation;
use super::protocol::QueueModel;
use super::state::QueueRule;
use super::store::{Call, QueueStore, Reply, StoredEntry, store_id};
use super::units::{TTL, duration, units};
use crate::model::LeaseId;

/// The store answers a call, and may give a hint.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) hint: Option<Hint>,
    /// The call has broken this rule.
    pub(super) broken: Option<QueueRule>,
}

impl QueueModel {
    /// Answers a call.
    pub(super) fn answer(&self, store: &mut QueueStore, call: Call, id: LeaseId) -> Answer {
        match call {
            Call::Enter(weight) => self.enter(store, id, weight),
            Call::Renew => self.renew(store, id),
            Call::Leave => self.leave(store, id),
        }
    }

    fn enter(&self, store: &mut QueueStore, id: LeaseId, weight: u32) -> Answer {
        let (lease, holder) = (store_id(id), self.holder.clone());
        let options =
            EnterOptions::new(lease, holder, duration(TTL), self.kind).with_weight(weight);
        let known = match self.mutation {
            Some(Mutation::SecondEntry) => Ok(None),
            _ => self.record(store, id).enter_outcome(&options),
        };
        let mut broken = None;
        let outcome = match known {
            Ok(None) => {
                broken = self.push(store, id, weight);
                self.record(store, id).enter_outcome(&options)
            }
            known => known,
        };
        let reply = match outcome {
            Ok(Some(AcquireOutcome::Granted(grant))) => Reply::Holds { left: units(grant.left) },
            Ok(Some(AcquireOutcome::Queued(queued))) => {
                Reply::Waits { left: units(queued.left), recheck: units(queued.recheck) }
            }
            Ok(_) | Err(_) => Reply::Failed,
        };
        let reply = self.without_order(store, id, reply);
        if matches!(reply, Reply::Waits { .. }) && waits_for_itself(store, id) {
            broken = Some(QueueRule::NoSelfBlocking);
        }
        Answer { reply, hint: None, broken }
    }

    /// Makes an entry, and returns the rule that it breaks.
    fn push(&self, store: &mut QueueStore, id: LeaseId, weight: u32) -> Option<QueueRule> {
        let token = match self.mutation {
            Some(Mutation::RepeatedToken) => store.token.max(1),
            _ => store.token + 1,
        };
        let grows = token > store.token;
        store.token = token;
        store.entries.push(StoredEntry { id, weight, token, left: TTL });
        if store.live().filter(|entry| entry.id == id).count() > 1 {
            return Some(QueueRule::OneEntry);
        }
        (!grows).then_some(QueueRule::TokensGrow)
    }

    fn renew(&self, store: &mut QueueStore, id: LeaseId) -> Answer {
        let (revives, mut revived) = (self.has(Mutation::RevivedEntry), false);
        for entry in store.entries.iter_mut().filter(|entry| entry.id == id) {
            if entry.is_live() || revives {
                revived |= !entry.is_live();
                entry.left = TTL;
            }
        }
        let reply = match self.record(store, id).renew_entry_outcome(store_id(id)) {
            RenewOutcome::Extended { left, .. } => Reply::Holds { left: units(left) },
            RenewOutcome::Queued { left, recheck, .. } => {
                Reply::Waits { left: units(left), recheck: units(recheck) }
            }
            RenewOutcome::Lost => Reply::Lost,
            RenewOutcome::Unknown { .. } | RenewOutcome::Disabled { .. } => Reply::Failed,
        };
        let reply = self.without_order(store, id, reply);
        Answer { reply, hint: None, broken: revived.then_some(QueueRule::EntriesEnd) }
    }

    fn leave(&self, store: &mut QueueStore, id: LeaseId) -> Answer {
        let is_own = |entry: &StoredEntry| entry.id == id && entry.is_live();
        let left = store.entries.iter().position(is_own).map(|at| store.entries.remove(at));
        let left = left.and_then(|left| self.entry_record(&left));
        let hint = left.and_then(|left| self.record(store, id).hint_of_leaving(&left));
        Answer { reply: Reply::Left, hint, broken: None }
    }

    /// Returns the record of the name as a call about that attempt finds it.
    fn record(&self, store: &QueueStore, id: LeaseId) -> LockRecord {
        let counts_expired = self.has(Mutation::CountsExpired);
        let counts = |entry: &&StoredEntry| entry.is_live() || (counts_expired && entry.id != id);
        let entries = store.entries.iter().filter(counts);
        let entries = entries.filter_map(|entry| self.entry_record(entry)).collect();
        LockRecord::unused(self.name.clone()).with_queue(self.kind, entries)
    }

    fn entry_record(&self, entry: &StoredEntry) -> Option<EntryRecord> {
        let token = FencingToken::new(u64::from(entry.token)).ok()?;
        let (id, left) = (store_id(entry.id), duration(entry.left));
        let record = EntryRecord::new(id, self.holder.clone(), token, left);
        Some(record.with_weight(entry.weight))
    }

    /// Removes the rule of the order, if it is to be removed: an entry holds the lock if there is
    /// room for it beside those that hold it.
    fn without_order(&self, store: &QueueStore, id: LeaseId, reply: Reply) -> Reply {
        let mut room = self.kind.capacity();
        let has_room = |entry: &StoredEntry| {
            let rest = room.checked_sub(entry.weight);
            room = rest.unwrap_or(room);
            rest.is_some() && entry.id == id
        };
        let skips = self.has(Mutation::SkipsHead) && store.live().any(has_room);
        match reply {
            Reply::Waits { left, .. } if skips => Reply::Holds { left },
            reply => reply,
        }
    }
}

/// Returns whether the entry of that attempt is behind one of another attempt of its instance, which
/// that one has neither lost nor tried to remove.
fn waits_for_itself(store: &QueueStore, id: LeaseId) -> bool {
    let mut ahead = store.live().take_while(|entry| entry.id != id);
    id.owner.is_some() && ahead.any(|entry| entry.id.owner == id.owner)
}

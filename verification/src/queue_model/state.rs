//! This module defines a state of the model: the store, the participants, and the messages between
//! them.

use leasehold_core::Moment;

use super::participant::Participant;
use super::store::{Call, QueueStore, Reply};
use super::units::NOW;
use crate::model::{Budget, LeaseId};

/// This is a state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueState {
    /// This is the state of the store.
    pub store: QueueStore,
    /// These are the participants. `None` stands for one that has crashed.
    pub instances: Vec<Option<Participant>>,
    /// These requests and replies are in the network, in a fixed order.
    pub network: Vec<Message>,
    /// These are the faults and commands that are left.
    pub left: Budget,
    /// This is the time for which nobody has held the lock although nothing prevents it.
    pub vacant: u8,
    /// This is the time for which an entry has held the lock and its instance did not know, although
    /// nothing prevents that.
    pub unheard: u8,
    /// This is true if there was a fault other than a crash.
    pub had_faults: bool,
    /// The last step has broken this rule.
    pub broken: Option<QueueRule>,
}

/// The violation of such a rule shows in a step, not in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueRule {
    /// An entry was made whose token is not larger than all earlier ones.
    TokensGrow,
    /// An attempt got a second entry.
    OneEntry,
    /// An entry that had expired is live again.
    EntriesEnd,
    /// An instance waits behind one of its own earlier attempts, which it has neither lost nor tried
    /// to remove.
    NoSelfBlocking,
    /// An entry is trusted again after its trust had ended.
    TrustReturns,
}

/// This is a request, and then its reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// This participant waits for the reply, unless it gave up.
    pub waiting: Option<usize>,
    /// This call was made.
    pub call: Call,
    /// The call is about the entry of this attempt.
    pub lease: LeaseId,
    /// The message was sent at this time, by the instance's clock.
    pub sent: Moment,
    /// This is the time until which the instance waits for the reply.
    pub until: Moment,
    /// This is the stage of the message.
    pub stage: MessageStage,
    /// This is true if the message may arrive at any time from now on.
    pub late: bool,
}

/// This is the stage of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageStage {
    /// The request is on its way to the store.
    Request,
    /// The reply is on its way back.
    Reply(Reply),
    /// The request or the reply was lost.
    Lost,
}

impl QueueState {
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, &Participant)> {
        let all = self.instances.iter().enumerate();
        all.filter_map(|(at, instance)| Some((at, instance.as_ref()?)))
    }

    /// Returns whether something must happen before time may pass.
    pub(super) fn is_busy(&self) -> bool {
        let receives = |at: usize| self.instances[at].as_ref().is_some_and(|it| !it.paused);
        let urgent = |message: &Message| match message.waiting {
            Some(at) if message.until <= NOW && receives(at) => true,
            Some(at) => match message.stage {
                MessageStage::Request => !message.late,
                MessageStage::Reply(_) => !message.late && receives(at),
                MessageStage::Lost => false,
            },
            None => !message.late,
        };
        self.network.iter().any(urgent) || self.running().any(|(_, instance)| instance.is_busy())
    }

    /// Returns whether nobody holds the lock, although an instance could.
    pub(super) fn is_vacant(&self) -> bool {
        let able = self.running().any(|(_, instance)| !instance.paused);
        able && !self.running().any(|(_, instance)| instance.trusts())
    }

    pub(super) fn with(&mut self, at: usize, act: impl FnOnce(&mut Participant)) {
        if let Some(instance) = &mut self.instances[at] {
            act(instance);
        }
    }

    /// Brings the state into the one form that represents all states that differ only in names, and
    /// in entries that have expired and have no effect.
    pub(super) fn canonicalize(&mut self, keeps_expired: bool) {
        if !keeps_expired {
            self.store.entries.retain(|entry| entry.left > 0);
        }
        // Tokens become ranks.
        let mut tokens: Vec<u8> = self.store.entries.iter().map(|entry| entry.token).collect();
        tokens.extend([0, self.store.token]);
        tokens.sort_unstable();
        tokens.dedup();
        let rank = |token: &mut u8| {
            *token = tokens.iter().take_while(|known| **known < *token).count() as u8;
        };
        rank(&mut self.store.token);
        self.store.entries.iter_mut().for_each(|entry| rank(&mut entry.token));
        self.network.sort_unstable();
    }

    /// Makes an attempt anonymous, because its entry has left or is lost, or its instance cannot
    /// remove it any longer.
    pub(super) fn forget_lease(&mut self, id: LeaseId) {
        if id.owner.is_none() {
            return;
        }
        let anonymous = LeaseId { owner: None, number: self.unused(None) };
        for known in self.lease_ids().filter(|known| **known == id) {
            *known = anonymous;
        }
    }

    /// Makes every attempt of an instance anonymous, because the instance has crashed, or waits
    /// again.
    pub(super) fn forget_owner(&mut self, at: usize) {
        let own: Vec<_> =
            self.lease_ids().map(|id| *id).filter(|id| id.owner == Some(at)).collect();
        own.into_iter().for_each(|id| self.forget_lease(id));
    }

    fn lease_ids(&mut self) -> impl Iterator<Item = &mut LeaseId> {
        let kept = self.store.entries.iter_mut().map(|entry| &mut entry.id);
        let sent = self.network.iter_mut().map(|message| &mut message.lease);
        let instances = self.instances.iter_mut().flatten();
        kept.chain(sent).chain(instances.filter_map(|instance| instance.lease.as_mut()))
    }

    /// Returns the smallest number that no known lease id of that owner has.
    pub(super) fn unused(&self, owner: Option<usize>) -> u8 {
        let sent = self.network.iter().map(|message| message.lease);
        let known: Vec<_> = sent
            .chain(self.store.entries.iter().map(|entry| entry.id))
            .chain(self.running().filter_map(|(_, instance)| instance.lease))
            .filter(|id| id.owner == owner)
            .map(|id| id.number)
            .collect();
        (0..u8::MAX).find(|number| !known.contains(number)).unwrap_or_default()
    }
}

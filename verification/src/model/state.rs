//! This module defines a state of the model: the store, the participants, and the messages between
//! them.

use leasehold_core::Moment;

use super::budget::Budget;
use super::participant::{JobState, Participant};
use super::store::{LeaseId, ModelCall, ModelStore, Reply};
use super::units::NOW;

/// This is a state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelState {
    /// This is the state of the store.
    pub store: ModelStore,
    /// These are the participants. `None` stands for one that has crashed or left.
    pub instances: Vec<Option<Participant>>,
    /// These requests and replies are in the network, in a fixed order.
    pub network: Vec<Message>,
    /// These are the faults and commands that are left.
    pub left: Budget,
    /// This is the largest token under which a term has begun.
    pub started: u8,
    /// This is the time for which the name has had no leader although nothing prevents one.
    pub leaderless: u8,
    /// This is true if there was a fault other than a crash.
    pub had_faults: bool,
    /// The last step has broken this rule.
    pub broken: Option<Rule>,
}

/// The violation of such a rule shows in a step, not in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A term began under a token that is not larger than all earlier ones.
    TokensGrow,
    /// A job had events other than start, stop and end in this order.
    StartStop,
    /// An instance was refused because of one of its own earlier attempts, which led to no term and
    /// which it has neither released nor tried to release.
    NoSelfBlocking,
    /// A lease is trusted again after its trust had ended.
    TrustReturns,
    /// A lease was released although its term's job was aborted and may continue.
    ReleasedAfterAbort,
}

/// This is a request, and then its reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// This participant waits for the reply, unless it gave up.
    pub waiting: Option<usize>,
    /// This call was made.
    pub call: ModelCall,
    /// The call is about this lease.
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

impl ModelState {
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

    /// Returns whether the name has no leader although it should eventually have one.
    pub(super) fn lacks_a_leader(&self) -> bool {
        let able = self.running().any(|(_, instance)| !instance.paused);
        // A leader that no longer trusts its lease, for instance because it is paused, does not
        // count.
        let leads = |it: &Participant| it.job == JobState::Started && it.trusts();
        let led = self.running().any(|(_, instance)| leads(instance));
        able && !led && !self.store.disabled
    }

    pub(super) fn with(&mut self, at: usize, act: impl FnOnce(&mut Participant)) {
        if let Some(instance) = &mut self.instances[at] {
            act(instance);
        }
    }

    /// Brings the state into the one form that represents all states that differ only in names.
    pub(super) fn canonicalize(&mut self) {
        // Tokens become ranks.
        let granted = |message: &Message| match message.stage {
            MessageStage::Reply(Reply::Granted { token, .. }) => Some(token),
            _ => None,
        };
        let mut tokens: Vec<u8> = self.network.iter().filter_map(granted).collect();
        tokens.extend([0, self.started, self.store.token]);
        tokens.sort_unstable();
        tokens.dedup();
        let rank = |token: &mut u8| {
            *token = tokens.iter().take_while(|known| **known < *token).count() as u8;
        };
        rank(&mut self.started);
        rank(&mut self.store.token);
        for message in &mut self.network {
            if let MessageStage::Reply(Reply::Granted { token, .. }) = &mut message.stage {
                rank(token);
            }
        }
        // A lease that has expired matters only to participants that may use its id again.
        if let Some(lease) = self.store.lease.clone().filter(|lease| lease.left == 0) {
            let named = self.network.iter().any(|message| message.lease == lease.id)
                || self.running().any(|(_, instance)| instance.lease == Some(lease.id));
            if !named {
                self.store.lease = None;
            }
        }
        self.network.sort_unstable();
    }

    /// Makes a lease anonymous, because it was released, or its instance cannot release it any
    /// longer.
    pub(super) fn forget_lease(&mut self, id: LeaseId) {
        if id.owner.is_none() {
            return;
        }
        let anonymous = LeaseId { owner: None, number: self.unused(None) };
        for known in self.lease_ids().filter(|known| **known == id) {
            *known = anonymous;
        }
    }

    /// Makes every lease of an instance anonymous, because the instance has crashed or left.
    pub(super) fn forget_owner(&mut self, at: usize) {
        let own: Vec<_> =
            self.lease_ids().map(|id| *id).filter(|id| id.owner == Some(at)).collect();
        own.into_iter().for_each(|id| self.forget_lease(id));
    }

    fn lease_ids(&mut self) -> impl Iterator<Item = &mut LeaseId> {
        let kept = self.store.lease.iter_mut().map(|lease| &mut lease.id);
        let sent = self.network.iter_mut().map(|message| &mut message.lease);
        let instances = self.instances.iter_mut().flatten();
        kept.chain(sent).chain(instances.filter_map(|instance| instance.lease.as_mut()))
    }

    /// Returns the smallest number that no known lease id of that owner has.
    pub(super) fn unused(&self, owner: Option<usize>) -> u8 {
        let sent = self.network.iter().map(|message| message.lease);
        let known: Vec<_> = sent
            .chain(self.store.lease.iter().map(|lease| lease.id))
            .chain(self.running().filter_map(|(_, instance)| instance.lease))
            .filter(|id| id.owner == owner)
            .map(|id| id.number)
            .collect();
        (0..u8::MAX).find(|number| !known.contains(number)).unwrap_or_default()
    }
}

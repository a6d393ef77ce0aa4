//! A state of the model: the store, the participants, what is under way between them.

use leasehold_core::Moment;

use super::budget::Budget;
use super::participant::{JobState, Participant};
use super::store::{LeaseId, ModelCall, ModelStore, Reply};
use super::units::NOW;

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelState {
    /// The store.
    pub store: ModelStore,
    /// Those that campaign; none where one has crashed or left.
    pub instances: Vec<Option<Participant>>,
    /// Requests and replies under way, in a fixed order.
    pub network: Vec<Message>,
    /// What may still go wrong or be commanded.
    pub left: Budget,
    /// The largest token under which a term has begun.
    pub started: u8,
    /// For how long the name has had no leader though nothing is in the way.
    pub leaderless: u8,
    /// Something has gone wrong other than that instances crashed.
    pub had_faults: bool,
    /// A rule that the last step has broken.
    pub broken: Option<Rule>,
}

/// A rule that is seen to be broken in a step, not in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A term began under a token that is not larger than those before.
    TokensGrow,
    /// Something else than start, stop, end, in this order.
    StartStop,
    /// An instance was refused because of an earlier attempt of its own, of which no term has come
    /// and which it has not given back, nor tried to.
    NoSelfBlocking,
    /// A lease is trusted again that was not.
    TrustReturns,
    /// A lease was released although its term's job was aborted and may go on.
    ReleasedAfterAbort,
}

/// A request, and then its reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// Who waits for the reply; none when nobody does any more.
    pub waiting: Option<usize>,
    /// What was asked.
    pub call: ModelCall,
    /// Of which lease.
    pub lease: LeaseId,
    /// When, by the instance's clock.
    pub sent: Moment,
    /// Until when it is waited for.
    pub until: Moment,
    /// How far it has come.
    pub stage: MessageStage,
    /// It may apply any time from here.
    pub late: bool,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageStage {
    /// On its way to the store.
    Request,
    /// On its way back.
    Reply(Reply),
    /// Lost, either way.
    Lost,
}

impl ModelState {
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, &Participant)> {
        let all = self.instances.iter().enumerate();
        all.filter_map(|(at, instance)| Some((at, instance.as_ref()?)))
    }

    /// Whether something must happen before time may pass.
    pub(super) fn is_busy(&self) -> bool {
        let hears = |at: usize| self.instances[at].as_ref().is_some_and(|it| !it.paused);
        let urgent = |message: &Message| match message.waiting {
            Some(at) if message.until <= NOW && hears(at) => true,
            Some(at) => match message.stage {
                MessageStage::Request => !message.late,
                MessageStage::Reply(_) => !message.late && hears(at),
                MessageStage::Lost => false,
            },
            None => !message.late,
        };
        self.network.iter().any(urgent) || self.running().any(|(_, instance)| instance.is_busy())
    }

    /// Whether the name ought to have a leader by and by, and has none.
    pub(super) fn lacks_a_leader(&self) -> bool {
        let able = self.running().any(|(_, instance)| !instance.paused);
        // One that no longer trusts its lease, since it is paused perhaps, is no leader.
        let leads = |it: &Participant| it.job == JobState::Started && it.trusts();
        let led = self.running().any(|(_, instance)| leads(instance));
        able && !led && !self.store.disabled
    }

    pub(super) fn with(&mut self, at: usize, act: impl FnOnce(&mut Participant)) {
        if let Some(instance) = &mut self.instances[at] {
            act(instance);
        }
    }

    /// Brings the state into the one form that stands for all that differ in names only.
    pub(super) fn canonicalize(&mut self) {
        // Tokens, as ranks.
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
        // A lease that is over matters only to those who might name it again.
        if let Some(lease) = self.store.lease.clone().filter(|lease| lease.left == 0) {
            let named = self.network.iter().any(|message| message.lease == lease.id)
                || self.running().any(|(_, instance)| instance.lease == Some(lease.id));
            if !named {
                self.store.lease = None;
            }
        }
        self.network.sort_unstable();
    }

    /// That lease was given back, or its instance can do no more to give it back.
    pub(super) fn forget_lease(&mut self, id: LeaseId) {
        if id.owner.is_none() {
            return;
        }
        let ghost = LeaseId { owner: None, number: self.unused(None) };
        for known in self.lease_ids().filter(|known| **known == id) {
            *known = ghost;
        }
    }

    /// So it is with every lease of an instance that is gone.
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

    /// The least number that no known lease id of that owner has.
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

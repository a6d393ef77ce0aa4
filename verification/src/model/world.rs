//! A state of the model: the store, the instances, what is under way between them.

use std::time::Duration;

use leasehold_core::election::Beat;
use leasehold_core::election::machine::Machine;
use leasehold_core::{Moment, Timing};

use super::network::ignore;
use super::store::{Call, Reply, Store};
use super::{Limits, NOW};

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The referee.
    pub store: Store,
    /// Those that campaign; none where one has crashed or left.
    pub instances: Vec<Option<Instance>>,
    /// Requests and replies under way, in a fixed order.
    pub network: Vec<Message>,
    /// What may still go wrong or be commanded.
    pub left: Limits,
    /// The largest token under which a term has begun.
    pub started: u8,
    /// For how long the name has had no leader though nothing is in the way.
    pub leaderless: u8,
    /// Something has gone wrong other than that instances crashed.
    pub mishaps: bool,
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
    OwnWay,
    /// A lease is trusted again that was not.
    TrustReturns,
    /// A lease was released although its term's job was aborted and may go on.
    ReleasedAfterAbort,
}

/// The id of an attempt, by whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    /// The instance that asked for it; none once it was given back, as far as that goes, or its
    /// instance is gone.
    pub owner: Option<usize>,
    /// Told apart from others that are still known.
    pub number: u8,
}

/// One that campaigns: the machine that ships, and around it what its driver does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// With all its moments relative to the present.
    pub machine: Machine,
    /// Of the latest attempt, while it may be in force or granted yet.
    pub lease: Option<LeaseId>,
    /// The latest attempt was not the first under its lease id.
    pub retried: bool,
    /// A renewal that has not gone out.
    pub beat: Option<Beat>,
    /// What the job has been told.
    pub job: Job,
    /// Until when the lease is trusted; the origin when it is not.
    pub trust: Moment,
    /// A hint that has not been heard.
    pub hinted: bool,
    /// It does nothing.
    pub paused: bool,
    /// It was paused since its term began.
    pub paused_in_term: bool,
    /// A part of the latest term's job was aborted.
    pub aborted: bool,
    /// The term's lease must run out.
    pub expires: bool,
    /// For how long its clock cannot slip again.
    pub steady: u8,
}

/// Where a term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// There is none.
    None,
    /// `start` was called.
    Started,
    /// `stop` was called.
    Stopping,
    /// What is left of it was aborted.
    Aborted,
}

/// A request, and then its reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// Who waits for the reply; none when nobody does any more.
    pub waiting: Option<usize>,
    /// What was asked.
    pub call: Call,
    /// Of which lease.
    pub lease: LeaseId,
    /// When, by the instance's clock.
    pub sent: Moment,
    /// Until when it is waited for.
    pub until: Moment,
    /// How far it has come.
    pub stage: Stage,
    /// It may take any time from here.
    pub late: bool,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// On its way to the store.
    Request,
    /// On its way back.
    Reply(Reply),
    /// Lost, either way.
    Lost,
}

impl Instance {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            machine: Machine::new(timing.clone(), NOW),
            lease: None,
            retried: false,
            beat: None,
            job: Job::None,
            trust: Moment::ORIGIN,
            hinted: false,
            paused: false,
            paused_in_term: false,
            aborted: false,
            expires: false,
            steady: 0,
        }
    }

    /// Whether it trusts its lease, by its own clock.
    pub fn trusts(&self) -> bool {
        NOW < self.trust
    }

    /// Whether it has something to do before time may pass.
    pub(super) fn is_busy(&self) -> bool {
        let wake = self.machine.wake();
        !self.paused
            && (self.hinted
                || self.job == Job::Aborted
                || self.beat.is_some_and(|beat| beat.due <= NOW)
                || wake.is_some_and(|wake| wake.at + wake.spread <= NOW))
    }

    /// One unit of time passes.
    pub(super) fn pass(&mut self, unit: Duration) {
        self.machine = self.machine.earlier(unit);
        self.beat = self.beat.map(|beat| beat.earlier(unit));
        self.trust = self.trust.saturating_sub(unit);
        self.steady = self.steady.saturating_sub(1);
    }
}

impl World {
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, &Instance)> {
        let all = self.instances.iter().enumerate();
        all.filter_map(|(at, instance)| Some((at, instance.as_ref()?)))
    }

    /// Whether something must happen before time may pass.
    pub(super) fn is_busy(&self) -> bool {
        let hears = |at: usize| self.instances[at].as_ref().is_some_and(|it| !it.paused);
        let urgent = |message: &Message| match message.waiting {
            Some(at) if message.until <= NOW && hears(at) => true,
            Some(at) => match message.stage {
                Stage::Request => !message.late,
                Stage::Reply(_) => !message.late && hears(at),
                Stage::Lost => false,
            },
            None => !message.late,
        };
        self.network.iter().any(urgent) || self.running().any(|(_, instance)| instance.is_busy())
    }

    /// Whether the name ought to have a leader by and by, and has none.
    pub(super) fn lacks_a_leader(&self) -> bool {
        let able = self.running().any(|(_, instance)| !instance.paused);
        // One that no longer trusts its lease, since it is paused perhaps, is no leader.
        let leads = |it: &Instance| it.job == Job::Started && it.trusts();
        let led = self.running().any(|(_, instance)| leads(instance));
        able && !led && !self.store.disabled
    }

    pub(super) fn with(&mut self, at: usize, act: impl FnOnce(&mut Instance)) {
        if let Some(instance) = &mut self.instances[at] {
            act(instance);
        }
    }

    /// An instance is gone; what it sent is still under way.
    pub(super) fn leave(&mut self, at: usize) {
        ignore(self, at, None);
        self.instances[at] = None;
        self.disown(at);
    }

    /// Brings the state into the one form that stands for all that differ in names only.
    pub(super) fn tidy(&mut self) {
        // Tokens, as ranks.
        let granted = |message: &Message| match message.stage {
            Stage::Reply(Reply::Granted { token, .. }) => Some(token),
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
            if let Stage::Reply(Reply::Granted { token, .. }) = &mut message.stage {
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
    pub(super) fn give_up(&mut self, id: LeaseId) {
        if id.owner.is_none() {
            return;
        }
        let ghost = LeaseId { owner: None, number: self.unused(None) };
        for known in self.lease_ids().filter(|known| **known == id) {
            *known = ghost;
        }
    }

    /// So it is with every lease of an instance that is gone.
    fn disown(&mut self, at: usize) {
        let own: Vec<_> =
            self.lease_ids().map(|id| *id).filter(|id| id.owner == Some(at)).collect();
        own.into_iter().for_each(|id| self.give_up(id));
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

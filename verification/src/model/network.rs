//! Messages between instances and store.

use leasehold_core::election::machine::{AskReply, RenewReply};
use leasehold_core::{FencingToken, Grant, Moment, Reason};

use super::store::{Call, Reply};
use super::world::{LeaseId, Message, Stage, World};
use super::{NOW, TTL, UNIT};

pub(super) fn send(
    world: &mut World,
    waiting: Option<usize>,
    call: Call,
    lease: LeaseId,
    until: Moment,
) {
    let (sent, until) = match waiting {
        Some(_) => (NOW, until),
        None => (Moment::ORIGIN, Moment::ORIGIN),
    };
    let stage = Stage::Request;
    world.network.push(Message { waiting, call, lease, sent, until, stage, late: false });
}

/// A renewal goes out that has waited for others.
pub(super) fn send_beat(world: &mut World, at: usize) {
    let Some(it) = &mut world.instances[at] else { return };
    if let (Some(beat), Some(lease)) = (it.beat.take(), it.lease) {
        send(world, Some(at), Call::Renew, lease, beat.until);
    }
}

/// The store tells everybody who listens.
pub(super) fn hint(world: &mut World) {
    world.instances.iter_mut().flatten().for_each(|instance| instance.hinted = true);
}

/// An instance waits no longer for replies, to that kind of call if one is named. Replies that
/// nobody waits for are no more; such requests are alike whenever they were sent.
pub(super) fn ignore(world: &mut World, at: usize, kind: Option<Call>) {
    for message in &mut world.network {
        if message.waiting == Some(at) && kind.is_none_or(|kind| message.call == kind) {
            message.waiting = None;
        }
    }
    forget(world);
}

/// An instance stops waiting for the reply to its second oldest renewal.
pub(super) fn ignore_second_oldest_renewal(world: &mut World, at: usize) {
    let its = |message: &&mut Message| message.waiting == Some(at) && message.call == Call::Renew;
    let mut renewals: Vec<_> = world.network.iter_mut().filter(its).collect();
    renewals.sort_by_key(|message| message.sent);
    if let Some(second) = renewals.into_iter().nth(1) {
        second.waiting = None;
    }
    forget(world);
}

fn forget(world: &mut World) {
    world.network.retain(|message| message.waiting.is_some() || message.stage == Stage::Request);
    for message in world.network.iter_mut().filter(|message| message.waiting.is_none()) {
        (message.sent, message.until) = (Moment::ORIGIN, Moment::ORIGIN);
    }
}

pub(super) fn asked(reply: Option<Reply>) -> AskReply {
    match reply {
        Some(Reply::Granted { token, left }) => match FencingToken::new(u64::from(token)) {
            Ok(token) => AskReply::Granted(Grant { token, left: UNIT * u32::from(left) }),
            Err(_) => AskReply::Failed,
        },
        Some(Reply::Held { left, .. }) => AskReply::Held { left: UNIT * u32::from(left) },
        Some(Reply::Disabled) => AskReply::Disabled,
        _ => AskReply::Failed,
    }
}

pub(super) fn renewed(reply: Option<Reply>) -> RenewReply {
    match reply {
        Some(Reply::Extended) => RenewReply::Extended { left: UNIT * u32::from(TTL) },
        Some(Reply::Lost) => RenewReply::Lost,
        Some(Reply::Disabled) => match Reason::new("upkeep") {
            Ok(reason) => RenewReply::Disabled { reason },
            Err(_) => RenewReply::Failed,
        },
        _ => RenewReply::Failed,
    }
}

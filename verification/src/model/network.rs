//! This module defines messages between instances and the store.

use leasehold_core::lease::machine::{AcquireReply, RenewReply};
use leasehold_core::{FencingToken, Grant, Moment, Reason};

use super::state::{Message, MessageStage, ModelState};
use super::store::{LeaseId, ModelCall, Reply};
use super::units::{NOW, TTL, UNIT};

pub(super) fn send(
    state: &mut ModelState,
    waiting: Option<usize>,
    call: ModelCall,
    lease: LeaseId,
    until: Moment,
) {
    let (sent, until) = match waiting {
        Some(_) => (NOW, until),
        None => (Moment::ORIGIN, Moment::ORIGIN),
    };
    let stage = MessageStage::Request;
    state.network.push(Message { waiting, call, lease, sent, until, stage, late: false });
}

/// Sends a renewal that has waited for others.
pub(super) fn send_renewal(state: &mut ModelState, at: usize) {
    let Some(it) = &mut state.instances[at] else { return };
    if let (Some(window), Some(lease)) = (it.window.take(), it.lease) {
        send(state, Some(at), ModelCall::Renew, lease, window.useful_until);
    }
}

/// Sends a hint from the store to every instance that watches.
pub(super) fn hint(state: &mut ModelState) {
    state.instances.iter_mut().flatten().for_each(|instance| instance.hinted = true);
}

/// Makes an instance stop waiting for replies, either to all calls or to one kind of call. Replies
/// without a waiter are removed, and requests without one are equal whenever they were sent.
pub(super) fn ignore(state: &mut ModelState, at: usize, kind: Option<ModelCall>) {
    for message in &mut state.network {
        if message.waiting == Some(at) && kind.is_none_or(|kind| message.call == kind) {
            message.waiting = None;
        }
    }
    forget(state);
}

/// Removes a participant. The messages that it sent are still in the network.
pub(super) fn leave(state: &mut ModelState, at: usize) {
    ignore(state, at, None);
    state.instances[at] = None;
    state.forget_owner(at);
}

/// Makes an instance stop waiting for the reply to its second oldest renewal.
pub(super) fn ignore_second_oldest_renewal(state: &mut ModelState, at: usize) {
    let its =
        |message: &&mut Message| message.waiting == Some(at) && message.call == ModelCall::Renew;
    let mut renewals: Vec<_> = state.network.iter_mut().filter(its).collect();
    renewals.sort_by_key(|message| message.sent);
    if let Some(second) = renewals.into_iter().nth(1) {
        second.waiting = None;
    }
    forget(state);
}

fn forget(state: &mut ModelState) {
    state
        .network
        .retain(|message| message.waiting.is_some() || message.stage == MessageStage::Request);
    for message in state.network.iter_mut().filter(|message| message.waiting.is_none()) {
        (message.sent, message.until) = (Moment::ORIGIN, Moment::ORIGIN);
    }
}

pub(super) fn acquire_reply(reply: Option<Reply>) -> AcquireReply {
    match reply {
        Some(Reply::Granted { token, left }) => match FencingToken::new(u64::from(token)) {
            Ok(token) => AcquireReply::Granted(Grant::new(token, UNIT * u32::from(left))),
            Err(_) => AcquireReply::Failed,
        },
        Some(Reply::Held { left, .. }) => {
            AcquireReply::Held { left: UNIT * u32::from(left), watched: true }
        }
        Some(Reply::Disabled) => AcquireReply::Disabled,
        _ => AcquireReply::Failed,
    }
}

pub(super) fn renew_reply(reply: Option<Reply>) -> RenewReply {
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

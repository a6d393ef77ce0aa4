//! These functions draw random replies of a store.

use std::time::Duration;

use fastrand::Rng;
use leasehold_core::lease::machine::{AcquireReply, RenewReply};
use leasehold_core::{FencingToken, Grant, Reason};

fn left(random: &mut Rng) -> Duration {
    Duration::from_millis(random.u64(0..15_000))
}

/// Returns a reply to an acquire. Each one uses up the next token, granted or not.
pub(crate) fn acquire_reply(random: &mut Rng, token: &mut u64) -> AcquireReply {
    *token += 1;
    let left = left(random);
    match random.u32(0..4) {
        0 => AcquireReply::Held { left, watched: random.bool() },
        1 => AcquireReply::Disabled,
        2 => AcquireReply::Failed,
        _ => AcquireReply::Granted(Grant::new(FencingToken::new(*token).unwrap(), left)),
    }
}

/// Returns a reply to a renewal.
pub(crate) fn renew_reply(random: &mut Rng) -> RenewReply {
    match random.u32(0..6) {
        0 => RenewReply::Lost,
        1 => RenewReply::Failed,
        2 => RenewReply::Disabled { reason: Reason::new("maintenance").unwrap() },
        _ => RenewReply::Extended { left: left(random) },
    }
}

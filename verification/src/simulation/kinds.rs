//! This module draws the kinds of a run's names from its seed.

use leasehold_core::LockKind;

/// Draws the kind of a name that is led. Most elections have one leader.
pub(super) fn draw_led(random: &mut fastrand::Rng) -> LockKind {
    match random.u32(0..9) {
        0 => counted(LockKind::leaders(1)),
        1 => counted(LockKind::leaders(2)),
        2 => counted(LockKind::leaders(3)),
        _ => LockKind::Exclusive,
    }
}

/// Draws the kind of a name that is locked.
pub(super) fn draw_locked(random: &mut fastrand::Rng) -> LockKind {
    match random.u32(0..8) {
        0 => LockKind::Fair,
        1 | 2 => counted(LockKind::semaphore(random.u32(2..5))),
        3 => LockKind::ReaderWriter,
        _ => LockKind::Exclusive,
    }
}

/// Returns the kind. Its number is not 0, so it is valid.
fn counted(kind: leasehold_core::Result<LockKind>) -> LockKind {
    kind.unwrap_or(LockKind::Fair)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_is_drawn() {
        let mut random = fastrand::Rng::with_seed(1);
        let led: HashSet<_> = (0..200).map(|_| draw_led(&mut random)).collect();
        assert_eq!(led.len(), 4);
        let locked: HashSet<_> = (0..200).map(|_| draw_locked(&mut random)).collect();
        assert_eq!(
            locked.len(),
            6,
            "fair, reader/writer, exclusive, and three sizes of semaphores"
        );
    }
}

//! A bell: how a waiter learns at once that a lease was released.
//!
//! A holder's bell is a user-level lock (`GET_LOCK`) that the holder's store keeps on a connection of
//! its own, and lets go of for a moment after it released a lease. Who waits for that holder stands
//! in line for the same lock, passes it on when it comes, and looks at what was signalled.
//!
//! A bell is never the lock: whether it is heard decides nothing. Where user-level locks are refused
//! or known to one node only, where a connection fails or there are too many, and for what rings no
//! bell (disable, enable, a lease released over another store), waiters look for themselves.

use sqlx::mysql::MySqlPool;
use tokio::sync::watch;

use super::listen::Ears;
use super::ring::Ringer;
use super::user_lock::Tower;
use crate::{
    AcquireOptions, AcquireOutcome, Grant, LeaseId, LockName, ReleaseOutcome, RenewOptions,
    RenewOutcome,
};

/// What a store knows of bells: it rings for its own leases, and listens for others'.
pub(super) struct Bells {
    ringer: Ringer,
    pub(super) ears: Ears,
}

impl Bells {
    pub(super) fn new(
        pool: &MySqlPool,
        database: &str,
        table: &str,
        left: watch::Receiver<()>,
    ) -> Self {
        let tower = Tower::new(pool, database, table, left);
        Self { ringer: Ringer::new(tower.clone()), ears: Ears::new(tower) }
    }

    /// Learns from the answer to an acquire.
    pub(super) fn asked(&self, name: &LockName, ask: &AcquireOptions, answer: &AcquireOutcome) {
        match answer {
            AcquireOutcome::Granted(Grant { left, .. }) => {
                self.ears.forget(name);
                self.ringer.granted(ask.holder.instance, ask.lease, *left);
            }
            // What this store releases itself, its watches are told without a bell.
            AcquireOutcome::Held(held) if self.ringer.rings_for(held.holder.instance) => {
                self.ears.forget(name);
            }
            AcquireOutcome::Held(held) => {
                self.ears.refused(name, held.holder.instance, held.left);
            }
            AcquireOutcome::Disabled(_) => self.ears.disabled(name),
        }
    }

    /// Learns from the answers to a renewal.
    pub(super) fn renewed(&self, leases: &[RenewOptions], answers: &[RenewOutcome]) {
        self.ringer.renewed(leases.iter().map(|asked| asked.lease).zip(answers));
    }

    /// Rings, after the answer to a release: whoever hears it is to see the lease gone.
    pub(super) fn released(&self, lease: LeaseId, answer: ReleaseOutcome) {
        let rings = answer == ReleaseOutcome::Released;
        self.ringer.over(lease, rings);
        if rings {
            self.ears.rang();
        }
    }
}

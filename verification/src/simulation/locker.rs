//! A part of each instance that takes locks, holds them a while, and gives them back or drops
//! them, sometimes before it has them.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Client, Guard};

use super::Plan;
use super::process::{Instance, Names};
use crate::history::{Fact, Name};

/// Takes locks until it is aborted.
pub(super) async fn take_locks(it: Arc<Instance>, client: Client, first: Name) {
    loop {
        it.clock.sleep(it.up_to(Duration::from_secs(8))).await;
        let name = first + it.draw(u32::try_from(Plan::LOCKED).unwrap_or(1)) as usize;
        let Ok(lock) = client.lock(Names::name(name)) else { return };
        let patience = it.up_to(Duration::from_secs(20));
        let impatience = it.up_to(Duration::from_secs(30));
        let taken = tokio::select! {
            biased;
            taken = lock.acquire(patience) => taken,
            // In the midst of it.
            () = it.clock.sleep(impatience) => continue,
        };
        if let Ok(guard) = taken {
            hold(&it, name, guard).await;
        }
    }
}

/// Says that the lease is no longer relied on when it is dropped.
struct Held<'a>(&'a Instance, Name, u64);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.note(Fact::Distrusts(self.0.id, self.1, self.2));
    }
}

async fn hold(it: &Instance, name: Name, guard: Guard) {
    let token = guard.token().get();
    let held = Held(it, name, token);
    for _ in 0..it.draw(20) {
        if !guard.is_held() {
            break;
        }
        let until = it.clock.outside(leasehold_core::Clock::now(&it.clock) + guard.remaining());
        it.note(Fact::Trusts(it.id, name, token, until));
        it.write(name, token).await;
        tokio::select! {
            biased;
            _ = guard.lost() => break,
            () = it.clock.sleep(it.up_to(Duration::from_secs(2))) => {}
        }
    }
    // From the call on.
    drop(held);
    if it.draw(2) == 0 {
        let _ = guard.release().await;
    }
}

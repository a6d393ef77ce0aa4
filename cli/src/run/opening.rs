//! Opening the store of a run, which may come up later than this process does.

use std::sync::Arc;
use std::time::Duration;

use leasehold::{Clock, LockStore, Moment, SystemClock};

use super::signals::{Signals, ends_a_wait};
use crate::exit::{self, Failure, chain, is_callers_fault, say};
use crate::store::StoreChoice;

const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Opened {
    pub(super) store: Arc<dyn LockStore>,
    /// Until when to wait for the lock; at the origin, until it was tried once.
    pub(super) wait: Option<Moment>,
}

/// Opens the store, again and again while it is not there, for as long as the caller waits.
pub(super) async fn open(
    choice: &StoreChoice,
    wait: Option<Duration>,
    signals: &mut Signals,
) -> Result<Opened, Failure> {
    let wait = wait.map(|wait| match wait {
        Duration::ZERO => Moment::ORIGIN,
        wait => SystemClock.now() + wait,
    });
    let mut said = false;
    loop {
        let error = tokio::select! {
            opened = choice.open() => match opened {
                Ok(store) => return Ok(Opened { store, wait }),
                Err(error) if is_callers_fault(&error) => return Err(error.into()),
                Err(error) => error,
            },
            failure = interrupted(signals) => return Err(failure),
        };
        if wait.is_some_and(|until| until <= SystemClock.now() + PAUSE) {
            return Err(Failure::new(exit::NOT_HAD, chain(&error)));
        }
        if !said {
            say(&format!("{}; trying again", chain(&error)));
            said = true;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            failure = interrupted(signals) => return Err(failure),
        }
    }
}

async fn interrupted(signals: &mut Signals) -> Failure {
    loop {
        let signal = signals.next().await;
        if ends_a_wait(signal) {
            return Failure::silent(exit::killed_by(signal.as_raw()));
        }
    }
}

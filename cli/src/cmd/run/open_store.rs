//! A run opens its store, which may become available later than this process starts.

use std::sync::Arc;
use std::time::Duration;

use leasehold::{Clock, LockStore, Moment, SystemClock};

use super::signals::{Signals, ends_a_wait};
use crate::io::exit::{self, Failure, chain, is_callers_fault};
use crate::io::stderr::say;
use crate::store_choice::StoreChoice;

const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Opened {
    pub(super) store: Arc<dyn LockStore>,
    /// The run waits for the lock until this moment; at the clock's origin, it tries once.
    pub(super) wait: Option<Moment>,
}

/// Opens the store, and retries while it is unavailable, for as long as the caller waits.
pub(super) async fn open(
    choice: &StoreChoice,
    wait: Option<Duration>,
    signals: &mut Signals,
) -> Result<Opened, Failure> {
    let wait = wait.map(|wait| match wait {
        Duration::ZERO => Moment::ORIGIN,
        wait => SystemClock.now() + wait,
    });
    let limit = wait.filter(|until| *until != Moment::ORIGIN);
    let mut said = false;
    loop {
        let error = tokio::select! {
            opened = choice.open() => match opened {
                Ok(store) => return Ok(Opened { store, wait }),
                Err(error) if is_callers_fault(&error) => return Err(error.into()),
                Err(error) => chain(&error),
            },
            () = SystemClock.sleep_until(limit.unwrap_or_default()), if limit.is_some() => {
                "the store did not respond within --wait".to_owned()
            }
            failure = interrupted(signals) => return Err(failure),
        };
        let pause = SystemClock.now() + PAUSE;
        let last = wait.is_some_and(|until| until <= pause);
        if !last && !std::mem::replace(&mut said, true) {
            say(&format!("{error}; trying again"));
        }
        tokio::select! {
            () = SystemClock.sleep_until(wait.map_or(pause, |until| until.min(pause))) => {}
            failure = interrupted(signals) => return Err(failure),
        }
        if last {
            return Err(Failure::new(exit::NOT_HAD, error));
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

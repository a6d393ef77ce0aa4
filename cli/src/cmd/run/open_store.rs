//! A run opens its store, which may become available only after this process has started.

use std::sync::Arc;
use std::time::Duration;

use leasehold::{Clock, LockStore, Moment, SystemClock};

use super::signals::{Signals, ends_a_wait};
use crate::io::exit::{self, Failure, chain, is_permanent};
use crate::io::stderr::print_message;
use crate::store_choice::StoreChoice;

const RETRY_PAUSE: Duration = Duration::from_secs(1);

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
    let mut printed = false;
    loop {
        let error = tokio::select! {
            opened = choice.open() => match opened {
                Ok(store) => return Ok(Opened { store, wait }),
                Err(error) if is_permanent(&error) => return Err(error.into()),
                Err(error) => chain(&error),
            },
            () = SystemClock.sleep_until(limit.unwrap_or_default()), if limit.is_some() => {
                "the store did not respond within --wait".to_owned()
            }
            failure = interrupted(signals) => return Err(failure),
        };
        let next_try = SystemClock.now() + RETRY_PAUSE;
        let last = wait.is_some_and(|until| until <= next_try);
        if !last && !std::mem::replace(&mut printed, true) {
            print_message(&format!("{error}; trying again"));
        }
        tokio::select! {
            () = SystemClock.sleep_until(wait.map_or(next_try, |until| until.min(next_try))) => {}
            failure = interrupted(signals) => return Err(failure),
        }
        if last {
            return Err(Failure::new(exit::NOT_ACQUIRED, error));
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

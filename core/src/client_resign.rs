//! An operator asks the leader of a name to step down, through any client.

use std::time::Duration;

use crate::{
    Client, DisableOutcome, Disablement, Error, ErrorKind, Holder, LockName, LockRecord, Reason,
    Result,
};

impl Client {
    /// Asks the leader of that name to step down cleanly, so that another candidate takes over.
    ///
    /// This is a [`disable`](Self::disable), which marks the lease in force as ending, followed at
    /// once by an [`enable`](Self::enable), which does not undo that. The holder at the time of the
    /// disable stops with that reason. It campaigns again half a second after it has stopped (or a
    /// poll interval, if that is less), so that other candidates notice first; if none of them
    /// takes the lead by then, it leads again.
    ///
    /// A name that is already disabled is not changed: its holder is already stopping.
    ///
    /// If the name has a [queue](crate::LockRecord::queue), this concerns all its entries: each
    /// holder has to stop, and each waiter enters the queue again.
    ///
    /// # What may remain
    /// The name is disabled for the round trip between the two calls. If this process dies then, or
    /// the store stays unreachable for longer than the retries last, the name stays disabled with
    /// that reason until somebody enables it. If another client disables the name between the two
    /// calls, that disable gets this one's reason and is undone.
    ///
    /// # Cancel safety
    /// Once begun, the call continues in the background if the future is dropped.
    ///
    /// # Errors
    /// This fails for an invalid name or reason, and with the store's error. The message says so if
    /// the name may have been left disabled.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn resign(
        &self,
        name: impl AsRef<str>,
        reason: impl AsRef<str>,
    ) -> Result<ResignOutcome> {
        let name = LockName::new(name)?;
        let reason = Reason::new(reason).map_err(|error| error.for_lock(&name))?;
        let client = self.clone();
        let task = tokio::spawn(async move { client.disable_and_enable(&name, &reason).await });
        task.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::OutcomeUnknown, "the runtime shut down during the call")
                .during("resign")
                .with_fix("check whether the lock was left disabled"))
        })
    }

    async fn disable_and_enable(&self, name: &LockName, reason: &Reason) -> Result<ResignOutcome> {
        /// An enable that does not arrive leaves the name disabled, so it is tried several times.
        const ATTEMPTS: u32 = 4;
        const PAUSE: Duration = Duration::from_millis(250);

        let record = self.status(name).await?.into_result()?;
        if let Some(disabled) = &record.disabled {
            return Ok(ResignOutcome::Disabled(disabled.clone()));
        }
        let Some(holder) = holder_of(record) else { return Ok(ResignOutcome::NotHeld) };
        if let DisableOutcome::AlreadyDisabled(disabled) = self
            .disable(name, reason)
            .await
            .map_err(|error| error.with_fix("check whether the lock was left disabled"))?
        {
            return Ok(ResignOutcome::Disabled(disabled));
        }
        let mut attempt = 1;
        loop {
            match self.enable(name).await {
                Ok(_) => return Ok(ResignOutcome::Resigning(holder)),
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    let clock = self.engine.store.clock();
                    clock.sleep_until(clock.now() + PAUSE * attempt).await;
                    attempt += 1;
                }
                Err(error) => {
                    return Err(error.with_fix(
                        "the leader will step down, but enabling the lock again failed: \
                         enable it by hand",
                    ));
                }
            }
        }
    }
}

/// Returns the instance that holds the name, or the first of several.
fn holder_of(record: LockRecord) -> Option<Holder> {
    let of_lease = record.lease.map(|lease| lease.holder);
    of_lease.or_else(|| Some(record.queue?.entries.into_iter().next()?.holder))
}

/// A call to [`Client::resign`] has one of these outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResignOutcome {
    /// The lease in force is marked as ending; this holder had it a moment before. In a queue, this
    /// holder had the first of several entries, and all are marked.
    Resigning(Holder),
    /// Nobody held the name, and nothing changed.
    NotHeld,
    /// The name was already disabled, so its holder is already stopping; nothing changed.
    Disabled(Disablement),
}

//! If the application's process ends without releasing its leases, because it was killed for
//! example, a helper process releases them, so that another instance need not wait until they
//! expire.
//!
//! ```no_run
//! use leasehold::{Client, OpenOptions, crash_release};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // This comes first: in the helper it does not return.
//!     crash_release::helper_main();
//!     tokio::runtime::Runtime::new()?.block_on(run())?;
//!     Ok(())
//! }
//!
//! async fn run() -> leasehold::Result<()> {
//!     let store = crash_release::open("sqlite:locks.db", &OpenOptions::default()).await?;
//!     let client = Client::builder(store).build()?;
//!     // All locks and elections of this client are covered.
//!     # drop(client);
//!     Ok(())
//! }
//! ```
//!
//! # The helper
//!
//! It is the application's own executable, started once more with the argument
//! `__leasehold_release_helper`: it has the same version and the same stores, and there is nothing
//! to install. Through a pipe it gets the store's URL, which is not in its arguments, and the id of
//! each lease that is granted or has ended. It has its own process group, no output, and ignores
//! SIGINT, SIGTERM, SIGHUP and SIGQUIT. A granted lease and a release each cost one write to the
//! pipe, which never blocks.
//!
//! The end of the pipe and another parent process tell the helper that the application has ended,
//! with all its threads. Then it opens the store, releases the leases that were held, and ends. It
//! releases by lease id, so a lease that has expired, or that another instance holds by now, is not
//! changed. It tries for at most 10 s. If the store is dropped but the process continues for more
//! than 5 s, the helper ends without releasing anything.
//!
//! # What it does not cover
//!
//! In these cases a lease expires as it does without the helper:
//!
//! * The process is stopped (SIGSTOP), hangs or is cut off from the store: it has not ended.
//! * The machine or the container ends, or something kills the helper too, such as `kill -9` of a
//!   whole control group.
//! * The store cannot be reached when the process ends.
//! * The process was killed between the store's grant and the reply.
//!
//! **Processes that the application has started are not waited for.** If one of them continues the
//! work of a lease, the lease is released while that work continues: end such processes with the
//! application, let them check the fencing token, or use `leasehold run`, which ends the command's
//! process group first. A process that was forked without executing another program keeps the pipe
//! open, so nothing is released before it has ended too, unless it closes all descriptors, as some
//! daemons do.
//!
//! **A request that the application had sent to another server may be carried out after the
//! release**, as after any crash: let that server check the fencing token.

mod helper;
mod message;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::intercept::{Interceptor, Reply, Request};
use crate::store_address::StoreAddress;
use crate::{
    AcquireOutcome, Error, ErrorKind, LockStore, OpenOptions, Reach, RenewOutcome, Result,
};

use message::Message;
use process::HelperProcess;

/// The application calls [`helper_main`], so the helper does not run the rest of the application.
static HAS_HELPER_MAIN: AtomicBool = AtomicBool::new(false);

/// Runs the helper if this process was started as one: then this does not return. Otherwise it
/// returns at once.
///
/// Call it first in `main`, before threads are started and arguments are parsed.
pub fn helper_main() {
    HAS_HELPER_MAIN.store(true, Ordering::SeqCst);
    if std::env::args_os().nth(1).is_some_and(|argument| argument == process::ARGUMENT) {
        helper::run();
        std::process::exit(0);
    }
}

/// Opens the store of that URL, and starts a helper that releases the leases that this process
/// acquires there and does not release.
///
/// # Errors
/// This fails for the same reasons as [`url::open`](crate::url::open) and [`wrap`].
///
/// # Cancel safety
/// The helper of a dropped call ends, and the schema is either as it was or complete.
pub async fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn LockStore>> {
    check_helper_main()?;
    let store = crate::url::open(url, options).await?;
    wrap(store, url, options).await
}

/// Starts a helper for a store that was built from the application's own pool or client. The helper
/// opens the same store by that URL, in the same namespace.
///
/// The leases that are acquired through the returned store are covered.
///
/// # Errors
/// This fails with [`ErrorKind::Invalid`] if `main` did not call [`helper_main`], with
/// [`ErrorKind::Unsupported`] if the store is in this process's memory, and with
/// [`ErrorKind::Unavailable`] if the helper does not start.
///
/// # Cancel safety
/// The helper of a dropped call ends.
///
/// # Panics
/// This panics outside of a tokio runtime with time enabled.
pub async fn wrap(
    store: Arc<dyn LockStore>,
    url: &str,
    options: &OpenOptions,
) -> Result<Arc<dyn LockStore>> {
    check_helper_main()?;
    if store.capabilities().reach == Reach::Process {
        let message = "another process cannot release leases in this process's memory";
        return Err(Error::new(ErrorKind::Unsupported, message).on_store(store.label()));
    }
    let helper = HelperProcess::start(StoreAddress::new(url, options)).await?;
    Ok(Arc::new(CoveredStore { store, helper }))
}

fn check_helper_main() -> Result<()> {
    if HAS_HELPER_MAIN.load(Ordering::SeqCst) {
        return Ok(());
    }
    Err(Error::invalid("the release helper would run the whole application")
        .with_fix("call leasehold::crash_release::helper_main() first in main"))
}

/// A covered store tells the helper which leases are held.
#[derive(Debug)]
struct CoveredStore {
    store: Arc<dyn LockStore>,
    helper: HelperProcess,
}

#[async_trait]
impl Interceptor for CoveredStore {
    fn inner(&self) -> &dyn LockStore {
        &*self.store
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let sent = request.clone();
        let reply = request.send_to(&*self.store).await?;
        self.report(sent, &reply);
        Ok(reply)
    }
}

impl CoveredStore {
    /// Tells the helper which leases began or ended by that reply.
    fn report(&self, request: Request, reply: &Reply) {
        match (request, reply) {
            (Request::Acquire(name, options), Reply::Acquire(AcquireOutcome::Granted(_))) => {
                self.helper.send(&Message::Held(name, options.lease));
            }
            (
                Request::Enter(name, options),
                Reply::Enter(AcquireOutcome::Granted(_) | AcquireOutcome::Queued(_)),
            ) => {
                self.helper.send(&Message::Entered(name, options.lease));
            }
            (Request::Release(_, lease), Reply::Release(_))
            | (Request::Leave(_, lease), Reply::Leave(_)) => {
                self.helper.send(&Message::Ended(lease));
            }
            (Request::Renew(leases), Reply::Renew(outcomes)) => {
                for (lease, outcome) in leases.iter().zip(outcomes) {
                    if matches!(outcome, RenewOutcome::Lost) {
                        self.helper.send(&Message::Ended(lease.lease));
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests' own `main` does not call the function.
    #[tokio::test]
    async fn a_program_without_the_call_in_main_is_refused() {
        let error = open("memory:", &OpenOptions::default()).await.unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains("helper_main()"), "{error}");
    }
}

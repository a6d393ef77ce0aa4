//! The engine's own tasks run on a thread that the application's work cannot block.

use std::sync::{Arc, OnceLock};
use std::{io, thread};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::warn;

/// Heartbeats, watches, elections and announcements run in this runtime.
///
/// It has its own thread, so that leases are renewed even while every thread of the application
/// computes or blocks. All clients of the process share it. The thread starts with the first task
/// and lasts as long as the process, which it does not keep alive: a connection that was opened
/// there, and returned to a pool of the application, must outlive the client.
///
/// Tasks run in the caller's runtime instead if the clock's timers depend on that runtime, as in
/// tests, or if the thread cannot be started.
#[derive(Debug)]
pub(crate) struct BackgroundRuntime {
    on_own_thread: bool,
}

impl BackgroundRuntime {
    pub(crate) fn new(on_own_thread: bool) -> Self {
        Self { on_own_thread }
    }

    /// Returns the runtime to spawn tasks on.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime if the thread could not be started.
    pub(crate) fn runtime(&self) -> Handle {
        let own = if self.on_own_thread { on_dedicated_thread() } else { None };
        own.unwrap_or_else(Handle::current)
    }
}

/// Returns the runtime in which clients run their own tasks, for those tasks of a store that the
/// application's work must not block either.
///
/// # Panics
/// This panics outside of a tokio runtime if the thread could not be started.
#[must_use]
pub fn background_runtime() -> Handle {
    BackgroundRuntime::new(true).runtime()
}

fn on_dedicated_thread() -> Option<Handle> {
    static THREAD: OnceLock<Option<Handle>> = OnceLock::new();
    let started = THREAD.get_or_init(|| {
        start()
            .inspect_err(|error| {
                warn!(
                    %error,
                    "cannot start the heartbeat thread; heartbeats run in the application's \
                     runtime and stop while its threads are blocked"
                );
            })
            .ok()
    });
    started.clone()
}

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    // The runtime is not moved into the thread directly: if the thread cannot be started, its
    // closure is dropped, and a runtime must not be dropped within another.
    let slot = Arc::new(Mutex::new(Some(runtime)));
    let thread_slot = slot.clone();
    let take = |slot: &Mutex<Option<Runtime>>| slot.lock().take();
    let run = move || {
        if let Some(runtime) = take(&thread_slot) {
            runtime.block_on(std::future::pending::<()>());
        }
    };
    match thread::Builder::new().name("leasehold".to_owned()).spawn(run) {
        Ok(_) => Ok(handle),
        Err(error) => {
            if let Some(runtime) = take(&slot) {
                runtime.shutdown_background();
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_thread_outlives_the_client_that_started_it() {
        let (send, received) = mpsc::channel();
        BackgroundRuntime::new(true).runtime().spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = send.send(thread::current().name().map(ToOwned::to_owned));
        });
        let name = received.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(name.as_deref(), Some("leasehold"));
    }

    #[test]
    fn without_a_thread_tasks_run_in_the_callers_runtime() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let here = runtime.block_on(async { BackgroundRuntime::new(false).runtime().id() });
        assert_eq!(here, runtime.handle().id());
    }
}

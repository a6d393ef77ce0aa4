//! The application starts the helper, and sends it messages.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::address::StoreAddress;
use super::message::Message;
use crate::{Error, ErrorKind, Result};

/// This argument starts the helper.
pub(super) const ARGUMENT: &str = "__leasehold_release_helper";

/// The helper reports by this byte that it knows its parent process.
pub(super) const READY: u8 = 6;

/// The helper has this long to start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// This is a helper that runs. Dropping the value closes the pipe, and the helper ends soon.
#[derive(Debug)]
pub(super) struct HelperProcess {
    messages: OwnedFd,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The pipe to the helper was closed, so the helper ends.
    closed: AtomicBool,
    /// The helper has ended.
    ended: AtomicBool,
}

impl HelperProcess {
    /// Starts a helper, and waits until it knows its parent process.
    pub(super) async fn start(address: StoreAddress) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Unavailable, "cannot start the release helper").with_source(error)
        };
        let mut process = spawn().map_err(failed)?;
        let messages = prepare(&mut process, address).await;
        let state = Arc::new(State::default());
        if messages.is_err() {
            state.closed.store(true, Ordering::SeqCst);
            let _ = process.kill();
        }
        wait_for_end(process, state.clone());
        Ok(Self { messages: messages.map_err(failed)?, state })
    }

    /// Sends a message. If it cannot be written now, because the helper does not read or has ended,
    /// it is lost: a lease that the helper does not know expires.
    pub(super) fn send(&self, message: &Message) {
        // Where SIGPIPE is not ignored, a write to a pipe without a reader ends this process.
        if self.state.ended.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(line) = message.line() {
            // A line of this length is written to a pipe as a whole or not at all. Where a system's
            // limit is shorter, the helper ignores what it cannot read.
            let _ = rustix::io::write(&self.messages, line.as_bytes());
        }
    }
}

impl Drop for HelperProcess {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
    }
}

/// Starts this program once more. Its pipes are closed in every program that this process executes,
/// as all that the standard library opens.
fn spawn() -> io::Result<Child> {
    let mut command = Command::new(this_program()?);
    // Some programs act according to their name.
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    // The helper must not keep the application's outputs open, because their readers may wait for
    // their end. In its own group it does not get the keyboard's signals for the application.
    command
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Returns a path to this program, even if its file has been replaced or deleted.
fn this_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}

/// Tells the helper what it needs, waits until it is ready, and returns the pipe to it.
async fn prepare(process: &mut Child, address: StoreAddress) -> io::Result<OwnedFd> {
    let missing = || io::Error::other("the release helper has no pipe");
    let mut messages = process.stdin.take().ok_or_else(missing)?;
    let mut ready = process.stdout.take().ok_or_else(missing)?;
    let start = Message::Start(std::process::id(), address).line().map_err(io::Error::other)?;
    messages.write_all(start.as_bytes())?;
    let read = tokio::task::spawn_blocking(move || {
        let mut byte = [0];
        ready.read_exact(&mut byte).map(|()| byte[0])
    });
    match tokio::time::timeout(START_LIMIT, read).await {
        Ok(Ok(Ok(READY))) => {}
        Ok(_) => return Err(io::Error::other("it did not report that it is ready")),
        Err(_) => return Err(io::Error::other(format!("it was not ready after {START_LIMIT:?}"))),
    }
    let messages = OwnedFd::from(messages);
    // A helper that is stopped must not block the application.
    rustix::io::ioctl_fionbio(&messages, true)?;
    Ok(messages)
}

/// Waits for the helper's end in a thread, so that no zombie remains, and reports an early one.
fn wait_for_end(mut process: Child, state: Arc<State>) {
    let wait = move || {
        let _ = process.wait();
        state.ended.store(true, Ordering::SeqCst);
        if !state.closed.load(Ordering::SeqCst) {
            warn!("the release helper has ended; if this process is killed, its leases expire");
        }
    };
    // Without a thread, the zombie remains until this process ends.
    let _ = thread::Builder::new().name("leasehold-helper".to_owned()).spawn(wait);
}

//! The application starts the helper, and sends it messages.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::message::Message;
use crate::store_address::StoreAddress;
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
    /// The application keeps a reader of its own: a pipe without a reader would end this process
    /// at the next write if the helper has ended and SIGPIPE is not ignored.
    _reader: PipeReader,
    /// The pipe to the helper was closed, so the helper ends.
    closed: Arc<AtomicBool>,
}

/// This is a helper that is not ready yet. If the call that starts it fails or is dropped, the
/// helper is killed.
#[derive(Debug)]
struct StartingHelper(Option<Child>);

impl HelperProcess {
    /// Starts a helper, and waits until it knows its parent process.
    pub(super) async fn start(address: StoreAddress) -> Result<Self> {
        Self::try_start(address).await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "cannot start the release helper").with_source(error)
        })
    }

    async fn try_start(address: StoreAddress) -> io::Result<Self> {
        let start = Message::Start(std::process::id(), address).line().map_err(io::Error::other)?;
        let (reader, mut messages) = io::pipe()?;
        let mut helper = StartingHelper(Some(spawn(reader.try_clone()?)?));
        let output = helper.0.as_mut().and_then(|process| process.stdout.take());
        let output = output.ok_or_else(|| io::Error::other("the release helper has no output"))?;
        messages.write_all(start.as_bytes())?;
        wait_until_ready(output).await?;
        let messages = OwnedFd::from(messages);
        // A helper that is stopped must not block the application.
        rustix::io::ioctl_fionbio(&messages, true)?;
        let closed = Arc::new(AtomicBool::new(false));
        if let Some(process) = helper.0.take() {
            wait_for_end(process, closed.clone());
        }
        Ok(Self { messages, _reader: reader, closed })
    }

    /// Sends a message. If it cannot be written now, because the helper does not read or has ended,
    /// it is lost: a lease that the helper does not know expires.
    pub(super) fn send(&self, message: &Message) {
        if let Ok(line) = message.line() {
            // A line of this length is written to a pipe as a whole or not at all. Where a system's
            // limit is shorter, the helper ignores what it cannot read.
            let _ = rustix::io::write(&self.messages, line.as_bytes());
        }
    }
}

impl Drop for HelperProcess {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

impl Drop for StartingHelper {
    fn drop(&mut self) {
        if let Some(mut process) = self.0.take() {
            let _ = process.kill();
            wait_for_end(process, Arc::new(AtomicBool::new(true)));
        }
    }
}

/// Starts this program once more. The pipes are closed in every program that this process executes,
/// as all that the standard library opens.
fn spawn(messages: PipeReader) -> io::Result<Child> {
    let mut command = Command::new(this_program()?);
    // Some programs act according to their name.
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    // The helper must not keep the application's outputs open, because their readers may wait for
    // their end. In its own group it does not get the keyboard's signals for the application.
    command
        .arg(ARGUMENT)
        .stdin(messages)
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

/// Waits until the helper reports that it is ready.
async fn wait_until_ready(mut output: ChildStdout) -> io::Result<()> {
    let read = tokio::task::spawn_blocking(move || {
        let mut byte = [0];
        output.read_exact(&mut byte).map(|()| byte[0])
    });
    match tokio::time::timeout(START_LIMIT, read).await {
        Ok(Ok(Ok(READY))) => Ok(()),
        Ok(_) => Err(io::Error::other("it did not report that it is ready")),
        Err(_) => Err(io::Error::other(format!("it was not ready after {START_LIMIT:?}"))),
    }
}

/// Waits for the helper's end in a thread, so that no zombie remains, and reports an early one.
fn wait_for_end(mut process: Child, closed: Arc<AtomicBool>) {
    let wait = move || {
        let _ = process.wait();
        if !closed.load(Ordering::SeqCst) {
            warn!("the release helper has ended; if this process is killed, its leases expire");
        }
    };
    // Without a thread, the zombie remains until this process ends.
    let _ = thread::Builder::new().name("leasehold-helper".to_owned()).spawn(wait);
}

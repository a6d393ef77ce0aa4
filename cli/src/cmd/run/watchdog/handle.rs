//! The supervisor controls the watchdog through this handle.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use leasehold::Moment;
use rustix::io::ioctl_fionbio;
use tokio::net::unix::pipe::Receiver;

use super::held_lease::HeldLease;
use super::{ARMED, COMMAND, ENDING, Order};
use crate::cmd::run::process_group::ProcessGroup;
use crate::cmd::run::reaper;
use crate::cmd::run::this_program::this_program;

/// Orders of this length are written to an empty pipe as a whole, or not at all. Part of a line
/// would damage the next one.
const MAX_WRITE: usize = 4096;

/// This is the handle of a running watchdog. When it is dropped, the watchdog assumes that the
/// supervisor has ended, and ends the group.
#[derive(Debug)]
pub(in crate::cmd::run) struct Watchdog {
    process: Child,
    /// Orders are written without waiting and not through the runtime, which would first have to
    /// find out that the pipe is writable.
    orders: OwnedFd,
    reports: Receiver,
}

/// A watchdog sends these reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cmd::run) enum Report {
    /// The watchdog is ending the group.
    Ending,
    /// The watchdog has ended, so nothing protects against a late supervisor.
    Exited,
}

impl Watchdog {
    /// Starts a watchdog, and waits until it has its orders. It releases the lease, if it is given
    /// one, when the supervisor has ended without it.
    ///
    /// # Cancel safety
    /// If the future is dropped, the watchdog assumes that the supervisor has ended.
    pub(in crate::cmd::run) async fn start(
        group: ProcessGroup,
        deadline: Moment,
        grace: Duration,
        lease: Option<HeldLease>,
        timeout: Duration,
    ) -> io::Result<Self> {
        let grace = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        // A watchdog that outlives its supervisor must not keep the user's files open. It detaches
        // from standard error itself, since it may write a last message there.
        let mut process = Command::new(this_program()?)
            .arg0("leasehold")
            .arg(COMMAND)
            .arg(grace.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        reaper::started(process.id());
        let missing = || io::Error::other("the watchdog has no pipe");
        let orders = OwnedFd::from(process.stdin.take().ok_or_else(missing)?);
        let reports = OwnedFd::from(process.stdout.take().ok_or_else(missing)?);
        ioctl_fionbio(&orders, true)?;
        let watchdog = Self { process, orders, reports: Receiver::from_owned_fd(reports)? };
        let mut orders = format!("{}{}", Order::Group(group), Order::Deadline(deadline));
        let lease = lease.map(|lease| Order::Lease(Box::new(lease)).to_string());
        // A lease with a very long URL is not sent, and expires if this process is killed.
        let lease = lease.filter(|lease| orders.len() + lease.len() <= MAX_WRITE);
        orders.extend(lease);
        watchdog.write(&orders);
        match tokio::time::timeout(timeout, watchdog.next_byte()).await {
            Ok(Ok(Some(ARMED))) => Ok(watchdog),
            Ok(Ok(_)) => Err(io::Error::other("the watchdog exited during start-up")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the watchdog did not start in time")),
        }
    }

    /// Sends an order to the watchdog. Its [`report`](Self::report) shows whether it still runs.
    pub(in crate::cmd::run) fn send(&self, order: Order) {
        self.write(&order.to_string());
    }

    fn write(&self, lines: &str) {
        let _ = rustix::io::write(&self.orders, lines.as_bytes());
    }

    /// Waits for the watchdog's next report.
    ///
    /// # Cancel safety
    /// Dropping the future loses no report.
    pub(in crate::cmd::run) async fn report(&self) -> Report {
        match self.next_byte().await {
            Ok(Some(ENDING)) => Report::Ending,
            _ => Report::Exited,
        }
    }

    /// Returns whether the watchdog has reported that it ends the group.
    pub(in crate::cmd::run) fn has_acted(&self) -> bool {
        let mut byte = [0];
        // This reads without the runtime, which may not have noticed yet that there is input.
        matches!(rustix::io::read(&self.reports, &mut byte), Ok(1)) && byte == [ENDING]
    }

    /// Stops the watchdog of a group that has ended.
    pub(in crate::cmd::run) fn stop(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        reaper::waited_for(self.process.id());
    }

    async fn next_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            self.reports.readable().await?;
            match self.reports.try_read(&mut byte) {
                Ok(read) => return Ok((read > 0).then_some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

//! The watchdog, from the supervisor's side.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use leasehold::Moment;
use rustix::io::ioctl_fionbio;
use tokio::net::unix::pipe::Receiver;

use super::{ARMED, COMMAND, ENDING, Order};
use crate::cmd::run::process_group::ProcessGroup;
use crate::cmd::run::reaper;
use crate::cmd::run::this_program::this_program;

/// A running watchdog. When this value is dropped, the watchdog takes the supervisor for gone, and
/// ends the group.
#[derive(Debug)]
pub(in crate::cmd::run) struct Watchdog {
    process: Child,
    /// Written to without waiting, and not through the runtime: that would need to have looked
    /// first whether it may.
    orders: OwnedFd,
    reports: Receiver,
}

/// What a watchdog reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cmd::run) enum Report {
    /// It is ending the group.
    Ending,
    /// It is gone, and protects nothing.
    Gone,
}

impl Watchdog {
    /// Starts a watchdog, and returns when it has its orders.
    ///
    /// # Cancel safety
    /// If the future is dropped, the watchdog takes the supervisor for gone.
    pub(in crate::cmd::run) async fn start(
        group: ProcessGroup,
        deadline: Moment,
        grace: Duration,
        patience: Duration,
    ) -> io::Result<Self> {
        let grace = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        // Nothing of the user's is kept open by a watchdog that outlives its supervisor.
        let mut process = Command::new(this_program()?)
            .arg0("leasehold")
            .arg(COMMAND)
            .arg(grace.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        reaper::started(process.id());
        let missing = || io::Error::other("the watchdog has no pipe");
        let orders = OwnedFd::from(process.stdin.take().ok_or_else(missing)?);
        let reports = OwnedFd::from(process.stdout.take().ok_or_else(missing)?);
        ioctl_fionbio(&orders, true)?;
        let watchdog = Self { process, orders, reports: Receiver::from_owned_fd(reports)? };
        watchdog.tell(Order::Group(group));
        watchdog.tell(Order::Deadline(deadline));
        match tokio::time::timeout(patience, watchdog.next_byte()).await {
            Ok(Ok(Some(ARMED))) => Ok(watchdog),
            Ok(Ok(_)) => Err(io::Error::other("the watchdog exited during start-up")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the watchdog did not start in time")),
        }
    }

    /// Sends it an order. Whether it still reads is seen by its [`report`](Self::report).
    pub(in crate::cmd::run) fn tell(&self, order: Order) {
        // A line is shorter than what a pipe takes at once or not at all.
        let _ = rustix::io::write(&self.orders, order.to_string().as_bytes());
    }

    /// Returns its next report, as soon as there is one.
    ///
    /// # Cancel safety
    /// Safe.
    pub(in crate::cmd::run) async fn report(&self) -> Report {
        match self.next_byte().await {
            Ok(Some(ENDING)) => Report::Ending,
            _ => Report::Gone,
        }
    }

    /// Returns whether it has begun to end the group, which it reports beforehand.
    pub(in crate::cmd::run) fn has_acted(&self) -> bool {
        let mut byte = [0];
        // Past the runtime, which may not have seen yet that there is something to read.
        matches!(rustix::io::read(&self.reports, &mut byte), Ok(1)) && byte == [ENDING]
    }

    /// Ends the watchdog of a group that is gone.
    pub(in crate::cmd::run) fn dismiss(mut self) {
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

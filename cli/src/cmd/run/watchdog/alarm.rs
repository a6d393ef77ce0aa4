//! An alarm waits for input or for a moment on the machine's clock, whichever comes first.

use std::io;
use std::os::fd::AsFd;

use leasehold::{Clock, Moment, SystemClock};
use rustix::event::{PollFd, PollFlags, poll};

/// The alarm is a timer on the clock that also counts suspended time: after a resume it fires at
/// once, while a timeout of `poll` would not count the suspended time.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Alarm(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?))
    }

    /// Waits until there is input, or the input ends, or that moment has come.
    pub(super) fn wait(&self, input: impl AsFd, until: Option<Moment>) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = match until {
            Some(until) if until <= SystemClock.now() => return Ok(()),
            Some(until) => Timespec::try_from(until.since_origin()).map_err(io::Error::other)?,
            None => NEVER,
        };
        // Setting a new time also clears an earlier expiry.
        let setting = Itimerspec { it_interval: NEVER, it_value: at };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &setting)?;
        let (input, timer) = (input.as_fd(), self.0.as_fd());
        let mut sources = [input, timer].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        interruptible(poll(&mut sources, None))
    }
}

/// On a system without such timers, the alarm waits for short times.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits until there is input, or the input ends, or that moment has come; it may return
    /// earlier.
    pub(super) fn wait(&self, input: impl AsFd, until: Option<Moment>) -> io::Result<()> {
        use rustix::time::Timespec;
        const MAX_WAIT: std::time::Duration = std::time::Duration::from_millis(100);
        let left = until.map_or(MAX_WAIT, |until| until.saturating_since(SystemClock.now()));
        let wait = Timespec::try_from(left.min(MAX_WAIT)).map_err(io::Error::other)?;
        let mut sources = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
        interruptible(poll(&mut sources, Some(&wait)))
    }
}

/// Treats an interrupted wait like one that returned early.
fn interruptible(polled: rustix::io::Result<usize>) -> io::Result<()> {
    match polled {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

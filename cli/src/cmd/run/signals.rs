//! A supervisor forwards these signals.

use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// The supervisor forwards these signals to the command.
const FORWARDED: [Signal; 7] = [
    Signal::INT,
    Signal::TERM,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
];

/// Returns whether the signal asks the command to end, and starts the grace.
pub(super) fn asks_to_end(signal: Signal) -> bool {
    matches!(signal, Signal::INT | Signal::TERM)
}

/// Returns whether the signal ends a supervisor that has no command to forward it to.
pub(super) fn ends_a_wait(signal: Signal) -> bool {
    asks_to_end(signal) || matches!(signal, Signal::HUP | Signal::QUIT)
}

/// This value receives the signals that the supervisor forwards.
#[derive(Debug)]
pub(super) struct Signals {
    streams: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    /// Starts to receive signals. If this process was started with SIGHUP ignored (`nohup`), it
    /// continues to ignore it, and its command inherits that. SIGINT and SIGQUIT, which shells
    /// without job control make commands with `&` ignore, are not ignored: a user sends them on
    /// purpose.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let mut streams = Vec::new();
        for signal in FORWARDED {
            if signal != Signal::HUP || !is_ignored(signal) {
                let kind = SignalKind::from_raw(signal.as_raw());
                streams.push((signal, unix::signal(kind)?));
            }
        }
        Ok(Self { streams })
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    /// Dropping the future loses no signal: the next call returns it.
    pub(super) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (signal, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Returns whether this process ignores the signal; `false` if that is unknown.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}

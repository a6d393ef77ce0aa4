//! The signals that a supervisor passes on.

use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// All signals that a supervisor takes part in.
const PASSED_ON: [Signal; 7] = [
    Signal::INT,
    Signal::TERM,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
];

/// Whether the signal asks to end, and starts the grace.
pub(super) fn asks_to_end(signal: Signal) -> bool {
    matches!(signal, Signal::INT | Signal::TERM)
}

/// Whether the signal ends a supervisor that has no command to pass it on to.
pub(super) fn ends_a_wait(signal: Signal) -> bool {
    asks_to_end(signal) || matches!(signal, Signal::HUP | Signal::QUIT)
}

/// The signals that came.
#[derive(Debug)]
pub(super) struct Signals {
    streams: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    /// Listens. A SIGHUP that this process was started to ignore (`nohup`) it goes on to ignore,
    /// and so will its command, which inherits that. The SIGINT and SIGQUIT that shells without
    /// job control let `&` ignore are not: whoever sends one means it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let mut streams = Vec::new();
        for signal in PASSED_ON {
            if signal != Signal::HUP || !is_ignored(signal) {
                let kind = SignalKind::from_raw(signal.as_raw());
                streams.push((signal, unix::signal(kind)?));
            }
        }
        Ok(Self { streams })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Safe: a signal that came is given to the next call.
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

/// Whether this process ignores the signal; no, where the system does not tell.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}

//! A failure has an exit status and one line that says why.

use std::error::Error as StdError;

use leasehold::{Error, ErrorKind};
use rustix::process::{Resource, Rlimit, Signal, kill_current_process_group, setrlimit};

use super::stderr::print_message;

/// Any other failure occurred, such as a store that does not respond.
pub(crate) const FAILED: u8 = 1;
/// The arguments, the settings or the store are invalid.
pub(crate) const USAGE: u8 = 2;
/// The lock was not acquired in time (`EX_TEMPFAIL`).
pub(crate) const NOT_ACQUIRED: u8 = 75;
/// The lock was lost while the command ran.
pub(crate) const LOST: u8 = 76;
/// The command was found but cannot be run; shells use this status too.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// The command does not exist; shells use this status too.
pub(crate) const NOT_FOUND: u8 = 127;

/// Returns the status that shells use for a process that a signal ended.
pub(crate) fn killed_by(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// A failure says why the program ends: its exit status and its message.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    /// The message is empty if there is nothing to print.
    message: String,
    /// The process ends by this signal instead, if it is set.
    signal: Option<Signal>,
}

impl Failure {
    pub(crate) fn new(status: u8, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), signal: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// Creates a failure without a message.
    pub(crate) fn silent(status: u8) -> Self {
        Self::new(status, "")
    }

    /// Creates a failure that ends this process as the command ended: by a signal from the
    /// keyboard. This process's group gets it as well, so a script that runs this process ends too.
    pub(crate) fn by_signal(signal: Signal) -> Self {
        Self { signal: Some(signal), ..Self::silent(killed_by(signal.as_raw())) }
    }

    /// Prints the message and returns the exit status. It does not return if the process ends by a
    /// signal.
    pub(crate) fn report(self) -> u8 {
        if !self.message.is_empty() {
            print_message(&self.message);
        }
        // The kernel ignores such signals for the first process of a container.
        if let Some(signal) = self.signal.filter(|_| !rustix::process::getpid().is_init()) {
            // The keyboard's signal is for the whole group, such as a script. This process still
            // handles it here.
            let _ = kill_current_process_group(signal);
            // The command has already written a core dump, if core dumps are enabled.
            let none = Rlimit { current: Some(0), maximum: Some(0) };
            let _ = setrlimit(Resource::Core, none);
            let _ = signal_hook::low_level::emulate_default_handler(signal.as_raw());
        }
        self.status
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = if is_permanent(&error) { USAGE } else { FAILED };
        Self::new(status, chain(&error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(FAILED, chain(&error))
    }
}

/// Returns whether retries fail until the user changes the request or fixes the store.
pub(crate) fn is_permanent(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Invalid
            | ErrorKind::Unsupported
            | ErrorKind::Denied
            | ErrorKind::Corrupt
            | ErrorKind::Conflict
    )
}

/// Returns whether this process can no longer use the store, so that retries fail too: its
/// database file was deleted or replaced.
pub(crate) fn needs_a_restart(error: &Error) -> bool {
    #[cfg(feature = "sqlite")]
    if error.source().is_some_and(<dyn std::error::Error>::is::<leasehold::sqlite::FileChanged>) {
        return true;
    }
    let _ = error;
    false
}

/// Returns an error and its causes in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own message.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_causes_are_printed_once() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::new(ErrorKind::Unavailable, "cannot write").with_source(cause);
        assert_eq!(chain(&error), "cannot write: disk on fire");
        assert_eq!(Failure::from(error).status, FAILED);
        assert_eq!(Failure::from(Error::invalid("x")).status, USAGE);
    }
}

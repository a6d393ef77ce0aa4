//! Standard output may be a pipe that closes early.

use std::io::{ErrorKind, Write};

use super::exit::{FAILED, Failure};

/// Writes to standard output and flushes it.
///
/// # Errors
/// The failure is silent if the reader has closed the pipe: `leasehold status | head` is not an
/// error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::silent(0)),
        other => Ok(other?),
    }
}

/// Writes one JSON document on one line.
///
/// # Errors
/// This fails for the same reasons as [`print`].
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string(value).map_err(|error| Failure::new(FAILED, error.to_string()))?;
    print(&(text + "\n"))
}

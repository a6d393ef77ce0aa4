//! This module does the work of a worker process.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::{LockName, LockStore};
use serde::{Deserialize, Serialize};

use crate::{CaseResult, Client, Failure};

/// A worker process has one of these tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum WorkerTask {
    /// Acquires the name that many times, and notes each time in a file that all workers share.
    Contend { name: LockName, rounds: u32, ttl: Duration, notes: PathBuf },
    /// Acquires the name, reports it, and holds it without a heartbeat until the process is killed.
    Hold { name: LockName, ttl: Duration },
}

/// Runs the task until it ends.
pub(crate) async fn run(task: &WorkerTask, store: Arc<dyn LockStore>) -> CaseResult {
    let client = Client::new(store);
    match task {
        WorkerTask::Contend { name, rounds, ttl, notes } => {
            let mut notes = open_notes(notes)?;
            for _ in 0..*rounds {
                let taken = client.acquire_when_free(name, *ttl).await?;
                writeln_at_once(&mut notes, &format!("enter {}", taken.token))?;
                tokio::time::sleep(Duration::from_millis(fastrand::u64(0..4))).await;
                if Instant::now() > taken.trusted_until() {
                    return Err(Failure::new("this machine stalled for longer than a ttl"));
                }
                writeln_at_once(&mut notes, &format!("exit {}", taken.token))?;
                client.release_held(&taken).await?;
            }
            Ok(())
        }
        WorkerTask::Hold { name, ttl } => {
            let taken = client.acquire_when_free(name, *ttl).await?;
            writeln_at_once(&mut std::io::stdout(), &taken.token.to_string())?;
            std::future::pending().await
        }
    }
}

fn open_notes(path: &Path) -> CaseResult<File> {
    Ok(OpenOptions::new().append(true).open(path)?)
}

/// Writes the line with one call, so that the lines of several processes do not mix.
fn writeln_at_once(file: &mut impl Write, line: &str) -> CaseResult {
    file.write_all(format!("{line}\n").as_bytes())?;
    Ok(file.flush()?)
}

/// Checks the notes: each holder leaves before the next one enters, and fencing tokens increase.
///
/// # Errors
/// Returns the first line that contradicts this.
pub(crate) fn check_notes(notes: &str) -> CaseResult<usize> {
    let mut last = 0;
    let mut lines = notes.lines();
    let mut sections = 0;
    while let Some(enter) = lines.next() {
        let token = enter.strip_prefix("enter ").and_then(|token| token.parse::<u64>().ok());
        let Some(token) = token else {
            return Err(Failure::new(format!(
                "{enter:?} while no worker held the name, after {last}"
            )));
        };
        if token <= last {
            return Err(Failure::new(format!("token {token} came after {last}")));
        }
        last = token;
        match lines.next() {
            Some(exit) if exit.strip_prefix("exit ") == Some(token.to_string().as_str()) => {}
            other => {
                return Err(Failure::new(format!(
                    "{token} held the name, but the next line is {other:?}"
                )));
            }
        }
        sections += 1;
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_successive_holders_are_accepted() {
        assert_eq!(check_notes("enter 1\nexit 1\nenter 5\nexit 5\n").unwrap(), 2);
    }

    #[test]
    fn overlaps_and_old_tokens_are_found() {
        for notes in
            ["enter 1\nenter 2\nexit 1\nexit 2\n", "enter 2\nexit 2\nenter 1\nexit 1\n", "exit 1\n"]
        {
            assert!(check_notes(notes).is_err(), "{notes}");
        }
    }
}

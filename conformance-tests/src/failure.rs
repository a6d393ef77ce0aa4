//! This module defines how a case ends, and why it failed: an error or a panic, with its location
//! in the source.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

use crate::Promise;

/// A case returns this result.
pub type CaseResult<T = ()> = Result<T, Failure>;

/// A failure says why a case failed or could not be run.
///
/// The `?` operator turns every error into a failure and notes the location.
#[derive(Clone)]
pub struct Failure {
    message: String,
    location: Option<String>,
    ignored: bool,
}

impl Failure {
    /// Creates a failure without a location.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), location: None, ignored: false }
    }

    /// Reports that the case cannot be run here. It then counts as ignored and not as failed.
    pub fn ignored(reason: impl Into<String>) -> Self {
        Self { ignored: true, ..Self::new(reason) }
    }

    /// Puts the promise that the failed case verifies before the message.
    pub(crate) fn of_promise(self, promise: Promise) -> Self {
        let message = format!("promise \"{promise}\" of {}: {}", promise.stated_by(), self.message);
        Self { message, ..self }
    }

    fn of_panic(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new(message.unwrap_or("a panic without a message"))
    }
}

impl<E: StdError> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self { location: Some(Location::caller().to_string()), ..Self::new(message) }
    }
}

/// A verdict says how a case ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The case passed.
    Passed,
    /// The case failed.
    Failed(Failure),
    /// The case was not run, for this reason.
    Ignored(String),
}

impl From<CaseResult> for Verdict {
    fn from(result: CaseResult) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(failure) if failure.ignored => Self::Ignored(failure.message),
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.location {
            Some(location) => write!(f, " (at {location})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

thread_local! {
    /// This is true while the thread runs a case. Its panics then belong to the suite.
    static IN_A_CASE: Cell<bool> = const { Cell::new(false) };
    /// The panic hook stores the latest panic of a case on this thread here.
    static SEEN: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

/// Keeps the panics of cases out of the output, because each is reported as the failure of its
/// case.
fn note_panics_of_cases() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if IN_A_CASE.get() {
                let failure = Failure {
                    location: info.location().map(ToString::to_string),
                    ..Failure::of_panic(info.payload())
                };
                SEEN.replace(Some(failure));
            } else {
                others(info);
            }
        }));
    });
}

/// Runs a future and turns its panic into a failure.
pub(crate) async fn caught<T>(future: impl Future<Output = CaseResult<T>>) -> CaseResult<T> {
    note_panics_of_cases();
    let mut future = pin!(future);
    poll_fn(move |context| {
        let outer = IN_A_CASE.replace(true);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        IN_A_CASE.set(outer);
        polled.unwrap_or_else(|payload| {
            let seen = SEEN.take();
            Poll::Ready(Err(seen.unwrap_or_else(|| Failure::of_panic(payload.as_ref()))))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_failure_with_its_location() {
        let failure = caught::<()>(async { panic!("lost {}", 7) }).await.unwrap_err();
        assert_eq!(failure.message, "lost 7");
        assert!(failure.to_string().contains("failure.rs:"), "{failure}");
    }

    #[tokio::test]
    async fn an_error_notes_the_location_of_its_question_mark() {
        let failing = async { Err(leasehold_core::Error::invalid("no"))? };
        let line = line!() - 1;
        let failure = caught::<()>(failing).await.unwrap_err();
        assert!(failure.to_string().contains(&format!("failure.rs:{line}")), "{failure}");
    }
}

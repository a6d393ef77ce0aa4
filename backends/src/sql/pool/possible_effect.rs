//! Remembers that an earlier try of a call may have taken effect.

use super::call_error::CallError;
use super::server::Server;
use crate::sql::error::may_have_committed;

/// This is the error of an earlier try that may have taken effect.
pub(super) struct PossibleEffect(pub(super) Option<sqlx::Error>);

impl PossibleEffect {
    /// Returns the error of the later try. If that try certainly had no effect, returns the earlier
    /// error instead, since the call as a whole may have taken effect.
    pub(super) fn or_earlier<DB: Server>(&mut self, error: CallError) -> CallError {
        let certain = match &error {
            CallError::NotSent(_) | CallError::TooManyAbandoned(_) => true,
            CallError::Failed(error) => !may_have_committed::<DB>(error),
            CallError::Unanswered => false,
        };
        match self.0.take() {
            Some(doubt) if certain => CallError::Failed(doubt),
            _ => error,
        }
    }
}

//! Gives the fuzzer access to the readers of this module.

use std::time::Duration;

use ::redis::Value;

use super::record::ScriptReply;
use super::renewal_reply;
use crate::{LockName, LockRecord, RenewOutcome, Result};

/// Reads a script's reply that has a record, and returns its word and the record.
pub fn record(name: &LockName, answer: Value) -> Result<(String, LockRecord)> {
    let answer = ScriptReply::new(answer)?;
    let record = answer.record(name)?;
    Ok((answer.word, record))
}

/// Reads the reply to one renewal of a command.
pub fn renewed(name: &LockName, answer: Value) -> Result<RenewOutcome> {
    renewal_reply::outcome(name, Duration::ZERO, Ok(answer))
}

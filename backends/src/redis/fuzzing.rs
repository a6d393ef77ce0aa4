//! The readers of this module, for the fuzzer.

use ::redis::Value;

use super::operations;
use super::record::ScriptReply;
use crate::{LockName, LockRecord, RenewOutcome, Result};

/// A script's answer that brings a record: its word, and the record.
pub fn record(name: &LockName, answer: Value) -> Result<(String, LockRecord)> {
    let answer = ScriptReply::new(answer)?;
    let record = answer.record(name)?;
    Ok((answer.word, record))
}

/// The answer to a renewal.
pub fn renewed(name: &LockName, answer: Value) -> Result<RenewOutcome> {
    operations::renewed(name, Ok(answer))
}

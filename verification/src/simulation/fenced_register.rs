//! This module defines the resource that the locks protect. It remembers the largest floor and
//! refuses smaller tokens. The floor of an exclusive lock is its token.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::history::{NameId, WriteResult};

/// These are the registers, one per name.
#[derive(Debug, Default)]
pub(super) struct FencedRegisters {
    seen: Mutex<HashMap<NameId, u64>>,
}

impl FencedRegisters {
    pub(super) fn write(&self, name: NameId, token: u64, floor: u64) -> WriteResult {
        let mut seen = self.seen.lock();
        let seen = seen.entry(name).or_default();
        if token < *seen {
            return WriteResult::Refused;
        }
        *seen = floor.max(*seen);
        WriteResult::Accepted
    }
}

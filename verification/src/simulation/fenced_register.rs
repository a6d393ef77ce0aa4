//! What the locks protect: it remembers the largest token and refuses smaller ones.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::history::{Name, Write};

/// One register a name.
#[derive(Debug, Default)]
pub(super) struct Registers {
    seen: Mutex<HashMap<Name, u64>>,
}

impl Registers {
    pub(super) fn write(&self, name: Name, token: u64) -> Write {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.entry(name).or_default();
        if token < *seen {
            return Write::Refused;
        }
        *seen = token;
        Write::Accepted
    }
}

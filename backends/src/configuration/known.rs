//! A loader knows the library's settings and the program's own.

use super::keys::{KEYS, Key, OF_THE_COMMAND_LINE};

/// These are the library's settings and, after them, the program's own.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownKeys {
    own: Vec<&'static Key>,
}

impl KnownKeys {
    /// Adds settings of the program's own.
    pub(super) fn add(&mut self, keys: &'static [Key]) {
        self.own.extend(keys.iter());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().chain(self.own.iter().copied())
    }

    /// Returns the setting of that name.
    pub(super) fn named(&self, name: &str) -> Option<&'static Key> {
        self.iter().find(|key| key.name == name)
    }

    /// Returns the names that files and the environment may have and that are not read: the command
    /// line's, unless the program is the command line.
    pub(super) fn ignored(&self) -> impl Iterator<Item = &'static str> {
        OF_THE_COMMAND_LINE.into_iter().filter(move |name| self.named(name).is_none())
    }

    /// Returns the names that files and the environment may have.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.iter().map(|key| key.name).chain(self.ignored())
    }
}

//! The types of what a backend is given and what it returns.

use std::time::Duration;

use crate::{Error, ErrorKind, LockName, LockRecord, Result};

/// The result of one attempt to change a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "it is returned once per call and not kept")]
pub enum Decision<T> {
    /// The attempt succeeded.
    Done(T),
    /// The attempt failed, and this record shows why. It was current at some time in the call.
    ///
    /// If the record shows the attempt's own lease, the store reports that the attempt was granted.
    /// A backend whose reads are not sufficient for that returns [`Changed`](Self::Changed).
    Refused(LockRecord),
    /// The attempt failed, but the reason no longer exists: the store tries again.
    ///
    /// A backend that reads the reason in the transaction of the attempt never returns this.
    Changed,
}

/// The stored state of one name.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "most entries are records")]
pub enum Entry {
    /// A record that could be read.
    Record(LockRecord),
    /// A record that could not be read. Without a readable name, it is logged and omitted.
    Corrupt {
        /// The name, if that can be read.
        name: Option<LockName>,
        /// Why the record cannot be read.
        error: Error,
    },
}

/// Selects the next names of a list.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Page<'a> {
    /// Selects only names that start with the bytes of this text.
    pub prefix: &'a str,
    /// Selects only names after this one, as [`Found::next`] gave it, in byte order.
    ///
    /// On the first page, it is the bytes of the name that the caller of the list gave, if any. On
    /// the following ones, it is [`Found::next`] of the page before, which need not be a valid
    /// name.
    pub after: Option<&'a [u8]>,
    /// Limits how many entries are returned. It is never 0.
    pub limit: usize,
}

impl<'a> Page<'a> {
    /// Selects at most that many names with that prefix after that name.
    #[must_use]
    pub const fn new(prefix: &'a str, after: Option<&'a [u8]>, limit: usize) -> Self {
        Self { prefix, after, limit }
    }
}

/// The entries of one page.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found<T> {
    /// The entries, in the byte order of names.
    pub entries: Vec<T>,
    /// The last name that was examined, as the store encodes it; `None` if no more names follow.
    ///
    /// A page with fewer entries than its limit may have this too: the store then asks for the next
    /// page. `None` ends the list.
    pub next: Option<Vec<u8>>,
}

impl<T> Found<T> {
    /// Returns these entries, and the last name that was looked at, if there may be more.
    #[must_use]
    pub const fn new(entries: Vec<T>, next: Option<Vec<u8>>) -> Self {
        Self { entries, next }
    }
}

/// The stored text of one instance.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredInstance {
    /// The id under which it is stored.
    ///
    /// It must be the [`Display`](std::fmt::Display) form of the instance's id.
    pub key: String,
    /// The text, or why it cannot be read.
    pub text: Result<String>,
    /// How much longer it is kept.
    pub left: Duration,
}

impl StoredInstance {
    /// Returns the text that is stored under that id, or why it cannot be read.
    #[must_use]
    pub const fn new(key: String, text: Result<String>, left: Duration) -> Self {
        Self { key, text, left }
    }
}

/// An operation of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// See [`Backend::acquire`](super::Backend::acquire).
    Acquire,
    /// See [`Backend::renew`](super::Backend::renew) and
    /// [`renew_entries`](super::Backend::renew_entries).
    Renew,
    /// See [`Backend::enter`](super::Backend::enter).
    Enter,
    /// See [`Backend::leave`](super::Backend::leave).
    Leave,
    /// See [`Backend::release`](super::Backend::release).
    Release,
    /// See [`Backend::disable`](super::Backend::disable).
    Disable,
    /// See [`Backend::enable`](super::Backend::enable).
    Enable,
    /// See [`Backend::read`](super::Backend::read).
    Get,
    /// See [`Backend::page`](super::Backend::page).
    List,
    /// See [`Backend::prune_page`](super::Backend::prune_page).
    Prune,
    /// See [`Backend::announce`](super::Backend::announce).
    Announce,
    /// See [`Backend::withdraw`](super::Backend::withdraw).
    Withdraw,
    /// See [`Backend::instances`](super::Backend::instances).
    Instances,
    /// See [`Backend::watch_once`](super::Backend::watch_once); the limit is that of the first
    /// subscription.
    Watch,
}

impl Operation {
    /// Returns the name of the operation in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Renew => "renew",
            Self::Enter => "enter",
            Self::Leave => "leave",
            Self::Release => "release",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Get => "get",
            Self::List => "list",
            Self::Prune => "prune",
            Self::Announce => "announce",
            Self::Withdraw => "withdraw",
            Self::Instances => "instances",
            Self::Watch => "watch",
        }
    }

    /// Returns the kind of error of a call that took too long: an unanswered write may have taken
    /// effect.
    pub(super) fn timeout_kind(self) -> ErrorKind {
        match self {
            Self::Get | Self::List | Self::Instances | Self::Watch => ErrorKind::Unavailable,
            _ => ErrorKind::OutcomeUnknown,
        }
    }
}

//! Where values come from.

use std::fmt;
use std::path::PathBuf;

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// An option, as it is called where it was given.
    Option(String),
    /// An environment variable.
    Variable(String),
    /// A file.
    File {
        /// Which one.
        path: PathBuf,
        /// The key in it.
        key: String,
    },
    /// It follows from others that were set.
    Derived(String),
    /// Nobody set it.
    Default,
}

impl Origin {
    /// The level, in one word: `option`, `environment`, `file`, `derived` or `default`.
    #[must_use]
    pub fn level(&self) -> &'static str {
        match self {
            Self::Option(_) => "option",
            Self::Variable(_) => "environment",
            Self::File { .. } => "file",
            Self::Derived(_) => "derived",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => write!(f, "option {name}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File { path, key } => write!(f, "{key} in {}", path.display()),
            Self::Derived(from) => write!(f, "derived from {from}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Says whose names and units a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Ours,
    Originals,
}

//! An origin says where a value comes from.

use std::fmt;
use std::path::PathBuf;

/// An origin is where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// An option set it; this is the option's name where it was given.
    Option(String),
    /// The environment variable of this name set it.
    Variable(String),
    /// A file set it.
    File {
        /// The file has this path.
        path: PathBuf,
        /// The setting has this key in the file.
        key: String,
    },
    /// The value follows from the settings that this text names.
    Derived(String),
    /// No source set it, so the default applies.
    Default,
}

impl Origin {
    /// Returns the level in one word: `option`, `environment`, `file`, `derived` or `default`.
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

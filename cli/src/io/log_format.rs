//! Standard error is written as text or as JSON.

use std::str::FromStr;

/// Standard error has one of these formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Each line is text for people.
    #[default]
    Text,
    /// Each line is a JSON object.
    Json,
}

impl LogFormat {
    /// The formats have these names.
    pub(crate) const NAMES: &'static [&'static str] = &["text", "json"];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Text, Self::Json].into_iter().find(|format| format.as_str() == name).ok_or(())
    }
}

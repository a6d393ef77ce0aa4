//! An option of a program may be text, a number, a duration or a switch.

use std::time::Duration;

/// A program gives this value for an option.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OptionValue {
    /// The value is text, written as in `leasehold.toml` or in an environment variable.
    Text(String),
    /// The value is a count, or the milliseconds of an option of the original.
    Number(i128),
    /// The value is a span of time.
    Duration(Duration),
    /// The value is true or false.
    Switch(bool),
}

impl From<&str> for OptionValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for OptionValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

macro_rules! from_numbers {
    ($($number:ty),+) => {$(
        impl From<$number> for OptionValue {
            fn from(number: $number) -> Self {
                Self::Number(number.into())
            }
        }
    )+};
}

from_numbers!(i32, i64, u32, u64);

impl From<Duration> for OptionValue {
    fn from(span: Duration) -> Self {
        Self::Duration(span)
    }
}

impl From<bool> for OptionValue {
    fn from(switch: bool) -> Self {
        Self::Switch(switch)
    }
}

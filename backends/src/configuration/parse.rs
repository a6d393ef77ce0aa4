//! This module turns what a source has into a value, or into a message that says what is accepted.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use config::ValueKind;
use jiff::SignedDuration;

use super::compat;
use super::keys::{Key, Kind, MILLISECONDS};
use super::layer::{MergedValues, ValueSource};
use super::source::{Origin, Spelling};
use super::store_url::StoreUrl;
use crate::registry::driver;
use crate::{Error, LockName, Namespace, Result};

/// This is a value in the form in which it is shown.
#[derive(Debug)]
pub(super) enum DisplayedValue {
    Text(String),
    Duration(Duration),
    Url(StoreUrl),
}

/// Each value that was set is read strictly.
impl MergedValues {
    pub(super) fn origin(&self, name: &str) -> Origin {
        self.0.get(name).map_or(Origin::Default, |(_, place, _)| place.origin.clone())
    }

    pub(super) fn is_from_original(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|(_, place, _)| place.words == Spelling::Originals)
    }

    pub(super) fn store(&self, name: &str) -> Result<Option<StoreUrl>> {
        self.read(name, |value, _| {
            let url = text(value)?;
            match driver(&url) {
                // A backend that this build lacks is reported when the store is opened.
                Err(error) if error.is_invalid() => Err(Rejection::Refused(error)),
                _ => Ok(StoreUrl::new(url)),
            }
        })
    }

    pub(super) fn namespace(&self, name: &str) -> Result<Option<Namespace>> {
        self.read(name, |value, _| Namespace::new(text(value)?).map_err(|_| Rejection::Evident))
    }

    pub(super) fn lock_name(&self, name: &str) -> Result<Option<LockName>> {
        self.read(name, |value, _| LockName::new(text(value)?).map_err(Rejection::Refused))
    }

    pub(super) fn label(&self, name: &str) -> Result<Option<String>> {
        self.read(name, |value, place| {
            let label = match place.words {
                Spelling::Ours => text(value)?,
                Spelling::Originals => compat::label(&text(value).or_else(|_| digits(value))?),
            };
            let fits = label.len() <= 255 && !label.contains('\0');
            if fits { Ok(label) } else { Err(Rejection::Evident) }
        })
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        self.read(name, |value, _| text(value))
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>> {
        self.read(name, |value, place| match place.words {
            // Zero is the same in every unit.
            Spelling::Ours if matches!(value, ValueKind::I64(0)) => Ok(Duration::ZERO),
            Spelling::Ours => duration(&text(value)?),
            Spelling::Originals => Ok(Duration::from_millis(whole(value)?)),
        })
    }

    pub(super) fn count(&self, name: &str) -> Result<Option<u32>> {
        self.read(name, |value, _| whole(value)?.try_into().map_err(|_| Rejection::Evident))
    }

    /// Reads a number of connections, which is not 0.
    pub(super) fn connections(&self, name: &str) -> Result<Option<NonZeroU32>> {
        let checked = |count: u32| NonZeroU32::new(count).ok_or(Rejection::Zero);
        self.read(name, |value, _| {
            whole(value)?.try_into().map_err(|_| Rejection::Evident).and_then(checked)
        })
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.read(name, |value, _| match value {
            ValueKind::Boolean(switch) => Ok(*switch),
            ValueKind::String(text) => text.trim().parse().map_err(|_| Rejection::Evident),
            _ => Err(Rejection::Evident),
        })
    }

    fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<String>> {
        self.read(name, |value, _| {
            let word = text(value)?;
            if words.contains(&word.as_str()) { Ok(word) } else { Err(Rejection::Evident) }
        })
    }

    fn address(&self, name: &str) -> Result<Option<SocketAddr>> {
        self.read(name, |value, _| text(value)?.trim().parse().map_err(|_| Rejection::Evident))
    }

    fn path(&self, name: &str) -> Result<Option<String>> {
        self.read(name, |value, _| {
            let path = text(value)?;
            let fits = !path.is_empty() && !path.contains('\0');
            if fits { Ok(path) } else { Err(Rejection::Evident) }
        })
    }

    /// Returns the value of a setting, to be shown, or `None` if it has no value.
    pub(super) fn displayed(&self, key: &Key) -> Result<Option<DisplayedValue>> {
        fn shown<T: ToString>(value: Option<T>) -> Option<DisplayedValue> {
            value.map(|value| DisplayedValue::Text(value.to_string()))
        }
        let name = key.name;
        Ok(match key.kind {
            Kind::Store => self.store(name)?.map(DisplayedValue::Url),
            Kind::Namespace => shown(self.namespace(name)?),
            Kind::LockName => shown(self.lock_name(name)?),
            Kind::Label => shown(self.label(name)?),
            Kind::Duration => self.duration(name)?.map(DisplayedValue::Duration),
            Kind::Count => shown(self.count(name)?),
            Kind::Connections => shown(self.connections(name)?),
            Kind::Switch => shown(self.boolean(name)?),
            Kind::Text => shown(self.text(name)?),
            Kind::OneOf(words) => shown(self.one_of(name, words)?),
            Kind::Address => shown(self.address(name)?),
            Kind::Path => shown(self.path(name)?),
        })
    }

    fn read<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&ValueKind, &ValueSource) -> std::result::Result<T, Rejection>,
    ) -> Result<Option<T>> {
        let Some((key, place, value)) = self.0.get(name) else { return Ok(None) };
        parse(value, place)
            .map(Some)
            .map_err(|why| invalid_value(key, place, &display_value(key, value), why))
    }
}

/// This says why a value is invalid.
#[derive(Debug)]
pub(super) enum Rejection {
    /// The text that says what is accepted explains it.
    Evident,
    Negative,
    Zero,
    Refused(Error),
}

/// Returns the error of an invalid value: its source, its key, and what is accepted.
pub(super) fn invalid_value(key: &Key, place: &ValueSource, value: &str, why: Rejection) -> Error {
    let (noun, accepted) = match (key.kind, place.words) {
        (Kind::Duration, Spelling::Originals) => {
            ("number of milliseconds".to_owned(), MILLISECONDS.to_owned())
        }
        _ => key.described(),
    };
    // Our names say what they are of.
    let key = match place.words {
        Spelling::Ours => String::new(),
        Spelling::Originals => format!(" for {}", key.name),
    };
    let why = match why {
        Rejection::Evident => String::new(),
        Rejection::Negative => ": it is negative".to_owned(),
        Rejection::Zero => ": no connection would be possible".to_owned(),
        // The error's own fix is left out, since the accepted values are listed.
        Rejection::Refused(error) => {
            format!(": {}", error.to_string().split(';').next().unwrap_or_default())
        }
    };
    Error::invalid(format!("{}: {value} is not a valid {noun}{key}{why}", place.origin))
        .with_fix(format!("use {accepted}"))
}

/// Returns the value for a message: it is short, in one line, and has nothing that may hold a
/// password.
fn display_value(key: &Key, value: &ValueKind) -> String {
    const MAX_SHOWN: usize = 60;
    match value {
        ValueKind::Nil => "invalid UTF-8".to_owned(),
        _ if key.kind == Kind::Store => "this".to_owned(),
        ValueKind::String(text) if text.chars().count() > MAX_SHOWN => {
            format!("{:?}…", text.chars().take(MAX_SHOWN).collect::<String>())
        }
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Float(number) => format!("{number:?}"),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// Returns what a message calls a value that contains others.
pub(super) fn compound_kind(value: &ValueKind) -> Option<&'static str> {
    match value {
        ValueKind::Table(_) => Some("a table"),
        ValueKind::Array(_) => Some("a list"),
        _ => None,
    }
}

fn text(value: &ValueKind) -> std::result::Result<String, Rejection> {
    match value {
        ValueKind::String(text) => Ok(text.clone()),
        _ => Err(Rejection::Evident),
    }
}

fn digits(value: &ValueKind) -> std::result::Result<String, Rejection> {
    whole(value).map(|number| number.to_string())
}

/// Reads a whole number, also from text, because an environment has only text.
fn whole(value: &ValueKind) -> std::result::Result<u64, Rejection> {
    let number = match value {
        ValueKind::I64(number) => (*number).try_into().ok(),
        ValueKind::I128(number) => (*number).try_into().ok(),
        ValueKind::U64(number) => Some(*number),
        ValueKind::U128(number) => (*number).try_into().ok(),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or(Rejection::Evident)
}

fn duration(text: &str) -> std::result::Result<Duration, Rejection> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let span: SignedDuration = text.trim().parse().map_err(|_| Rejection::Evident)?;
    Duration::try_from(span).map_err(|_| Rejection::Negative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_with_units_only() {
        for (text, millis) in [
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("0s", 0),
            ("0", 0),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "15", "-1s", "1s ago", "soon", "1 fortnight", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_formatted_durations_parse() {
        for nanos in [0, 1, 1500, 9_250_000_000, 15_000_000_000, 86_400_000_000_001] {
            let span = Duration::from_nanos(nanos);
            assert_eq!(duration(&format!("{span:?}")).unwrap(), span);
        }
    }
}

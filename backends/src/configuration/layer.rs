//! A layer has the settings of one source, and later layers override earlier ones.

use std::collections::BTreeMap;

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use super::keys::Key;
use super::source::{Origin, Spelling};
use crate::{Error, Result};

/// An entry is a value with its setting and with the source that it comes from.
type Entry = (&'static Key, ValueSource, ValueKind);

/// A layer has the values of one source, each with the place where it was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    values: Vec<Entry>,
}

/// This says where a value was found, and whose names and units it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValueSource {
    pub(super) origin: Origin,
    pub(super) words: Spelling,
}

impl Layer {
    /// Adds a value. If a setting has two values, the later one applies.
    pub(super) fn set(&mut self, key: &'static Key, place: ValueSource, value: ValueKind) {
        self.values.push((key, place, value));
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> std::result::Result<Map<String, Value>, ConfigError> {
        let entry = |(key, place, value): &Entry| {
            (key.name.to_owned(), Value::new(Some(&place.origin.to_string()), value.clone()))
        };
        Ok(self.values.iter().map(entry).collect())
    }
}

/// This map has the value that applies for each setting that was set.
#[derive(Debug, Default)]
pub(super) struct MergedValues(pub(super) BTreeMap<&'static str, Entry>);

impl MergedValues {
    /// Combines the layers; the values of each override those of the layers before it.
    pub(super) fn new(layers: Vec<Layer>) -> Result<Self> {
        let (mut keys, mut places) = (BTreeMap::new(), BTreeMap::new());
        let mut builder = Config::builder();
        for layer in layers {
            for (key, place, _) in &layer.values {
                keys.insert(key.name, *key);
                places.insert(place.origin.to_string(), place.clone());
            }
            builder = builder.add_source(layer);
        }
        let failed =
            |error: ConfigError| Error::invalid("cannot merge the settings").with_source(error);
        let mut values = builder.build().and_then(|all| all.cache.into_table()).map_err(failed)?;
        let merged = keys.into_iter().filter_map(|(name, key)| {
            let value = values.remove(name)?;
            let place = value.origin().and_then(|origin| places.get(origin))?.clone();
            Some((name, (key, place, value.kind)))
        });
        Ok(Self(merged.collect()))
    }
}

//! Encodes the text that a store keeps for an instance, and decodes it strictly.

use super::data::StoredInstance;
use crate::{Error, ErrorKind, InstanceRecord, Presence, Result};

/// Returns the text that a store keeps for an instance.
pub(super) fn encode(presence: &Presence) -> Result<String> {
    serde_json::to_string(presence).map_err(|error| {
        Error::invalid("the presence cannot be encoded as JSON").with_source(error)
    })
}

/// Decodes the text that a store keeps for an instance.
fn decode(stored: StoredInstance) -> Result<InstanceRecord> {
    let StoredInstance { key, text, left } = stored;
    let presence: Presence = serde_json::from_str(&text?).map_err(|error| {
        Error::new(ErrorKind::Corrupt, format!("the record of the instance {key:?} is corrupt"))
            .with_source(error)
    })?;
    if presence.holder.instance.to_string() != key {
        let message = format!("another instance is stored under {key:?}");
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(InstanceRecord::new(presence, left))
}

/// Returns the instances that could be read, in the order of their ids. A corrupt record must not
/// hide the others.
pub(super) fn readable(stored: Vec<StoredInstance>, store: &str) -> Vec<InstanceRecord> {
    let mut records = Vec::with_capacity(stored.len());
    for stored in stored {
        match decode(stored) {
            Ok(record) => records.push(record),
            Err(error) => {
                let error = error.during("instances").on_store(store);
                tracing::error!(%error, "an instance cannot be listed");
            }
        }
    }
    records.sort_by_key(|record| record.presence.holder.instance);
    records
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Holder, LockName};

    #[test]
    fn corrupt_records_do_not_hide_others() {
        let here = Presence::new(Holder::current(), vec![LockName::new("a").unwrap()]);
        let (id, text) = (here.holder.instance.to_string(), encode(&here).unwrap());
        let other = Holder::current().instance.to_string();
        let long_name = text.replace("\"a\"", &format!("\"{}\"", "a".repeat(256)));
        let unreadable = Err(Error::new(ErrorKind::Corrupt, "it holds a foreign value"));
        let records = [
            (&id, Ok("{}".to_owned())),
            (&other, Ok(text.clone())),
            (&id, Ok(long_name)),
            (&id, Ok(text)),
            (&id, Ok(String::new())),
            (&id, unreadable),
        ];
        let left = Duration::ZERO;
        let stored: Vec<_> = records
            .into_iter()
            .map(|(key, text)| StoredInstance { key: key.clone(), text, left })
            .collect();
        let corrupt = stored.iter().cloned().map(decode).filter(|decoded| {
            decoded.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt)
        });
        assert_eq!(corrupt.count(), 5);
        assert_eq!(readable(stored, "memory"), [InstanceRecord::new(here, left)]);
    }
}

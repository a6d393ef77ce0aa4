//! Encodes and strictly decodes the text that a store keeps of an instance.

use std::time::Duration;

use crate::{Error, ErrorKind, InstanceRecord, Presence, Result};

/// Returns the text that a store keeps of an instance.
pub(crate) fn encode(presence: &Presence) -> Result<String> {
    serde_json::to_string(presence)
        .map_err(|error| Error::invalid("the presence is no JSON").with_source(error))
}

/// Decodes the text that a store keeps under that id.
pub(crate) fn decode(id: &str, text: &str, left: Duration) -> Result<InstanceRecord> {
    let presence: Presence = serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::Corrupt, format!("what is kept of the instance {id:?} is damaged"))
            .with_source(error)
    })?;
    if presence.holder.instance.to_string() != id {
        let message = format!("under {id:?}, another instance is kept");
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(InstanceRecord { presence, left })
}

/// Returns the records that could be read. A damaged one must not hide the others.
pub(crate) fn skip_corrupt(
    records: impl Iterator<Item = Result<InstanceRecord>>,
) -> Vec<InstanceRecord> {
    let readable = |record: Result<InstanceRecord>| {
        record.inspect_err(|error| tracing::error!(%error, "an instance is not shown")).ok()
    };
    records.filter_map(readable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Holder, LockName};

    #[test]
    fn corrupt_records_do_not_hide_others() {
        let here = Presence {
            holder: Holder::current(),
            campaigns: vec![LockName::new("a").unwrap()],
            unlisted: 0,
        };
        let (id, text) = (here.holder.instance.to_string(), encode(&here).unwrap());
        let other = Holder::current().instance.to_string();
        let long_name = text.replace("\"a\"", &format!("\"{}\"", "a".repeat(256)));
        let records = [(&id, "{}"), (&other, &text), (&id, &long_name), (&id, &text), (&id, "")];
        let read = records.map(|(id, text)| decode(id, text, Duration::ZERO));
        let corrupt_row = read
            .iter()
            .filter(|read| read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt));
        assert_eq!(corrupt_row.count(), 4);
        let readable = skip_corrupt(read.into_iter());
        assert_eq!(readable, [InstanceRecord { presence: here, left: Duration::ZERO }]);
    }
}

//! Enters a queue. The entries are in the record of their name, and one script decides.

use super::record::unexpected_reply;
use super::request::micros;
use super::script_runner::ScriptRunner;
use super::scripts;
use super::wait_pool::WriteKind;
use crate::{EnterOptions, Error, LockName, LockRecord, MAX_ENTRIES, Result};

/// Adds an entry, unless something prevents it, and returns the record as it is then. If the
/// attempt has an entry, this also returns an error if too few replicas confirmed that.
pub(super) async fn enter(
    runner: &ScriptRunner,
    name: &LockName,
    options: &EnterOptions,
) -> Result<(LockRecord, Option<Error>)> {
    let more = arguments(options)?;
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let (reply, missing) =
        runner.run_on_replicas(WriteKind::Grant, &scripts::ENTER, name, &more).await?;
    let record = reply.record(name)?;
    match &*reply.word {
        "entered" => Ok((record, missing)),
        // A refusal needs no confirmation by replicas.
        "refused" => Ok((record, None)),
        _ => Err(unexpected_reply()),
    }
}

/// Returns the arguments of the script after the channel and the name.
fn arguments(options: &EnterOptions) -> Result<[String; 8]> {
    let EnterOptions { lease, holder, ttl, kind, weight, wait, .. } = options;
    let holder = serde_json::to_string(holder).map_err(|error| {
        Error::invalid("the holder cannot be encoded as JSON").with_source(error)
    })?;
    Ok([
        lease.to_string(),
        holder,
        micros(*ttl).to_string(),
        kind.code(),
        kind.capacity().to_string(),
        weight.to_string(),
        if *wait { "wait".to_owned() } else { String::new() },
        MAX_ENTRIES.to_string(),
    ])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::{Holder, LeaseId, LockKind};

    #[test]
    fn the_script_gets_all_options_in_its_order() {
        let lease = LeaseId::from_uuid(Uuid::from_u128(0xab));
        let holder = Holder::new(Uuid::nil(), "h", 4);
        let kind = LockKind::semaphore(3).unwrap();
        let options = EnterOptions::new(lease, holder, Duration::from_secs(2), kind).with_weight(2);
        let expected = [
            "00000000-0000-0000-0000-0000000000ab",
            r#"{"instance":"00000000-0000-0000-0000-000000000000","host":"h","pid":4}"#,
            "2000000",
            "semaphore:3",
            "3",
            "2",
            "wait",
            "256",
        ];
        assert_eq!(arguments(&options).unwrap(), expected);
        let at_once = arguments(&options.without_waiting()).unwrap();
        assert_eq!(at_once[6], "");
    }
}

//! Instances that make themselves known: a string each, which the server forgets by itself.

use std::time::Duration;

use ::redis::Value;
use uuid::Uuid;

use super::request::Request;
use super::scan;
use super::servers::{self, Servers};
use crate::{Error, ErrorKind, InstanceRecord, Presence, Result};

/// How many instances are asked for at once: what one says may be long.
const BATCH: usize = 100;

/// Where instances are kept.
#[derive(Debug)]
pub(super) struct Instances {
    /// Of the keys: what stands before an instance's id.
    keys: String,
}

impl Instances {
    pub(super) fn new(namespace: &crate::Namespace) -> Self {
        Self { keys: format!("{namespace}:instance:") }
    }

    fn key(&self, instance: Uuid) -> String {
        format!("{}{instance}", self.keys)
    }

    /// One `SET`, which replaces what was said before, and when that ends.
    pub(super) async fn announce(
        &self,
        servers: &Servers,
        presence: &Presence,
        ttl: Duration,
    ) -> Result<()> {
        let said = serde_json::to_string(presence)
            .map_err(|e| Error::invalid("the instance is no JSON").with_source(e))?;
        let key = self.key(presence.holder.instance);
        let mut command = ::redis::cmd("SET");
        command.arg(&key).arg(said).arg("PX").arg(millis(ttl));
        servers.call(Request::Command { key: key.into(), command }).await.map(drop)
    }

    pub(super) async fn withdraw(&self, servers: &Servers, instance: Uuid) -> Result<()> {
        let delete = Request::command("DEL", self.key(instance).as_bytes());
        servers.call(delete).await.map(drop)
    }

    /// All that are known, of every primary.
    pub(super) async fn known(
        &self,
        servers: &Servers,
        store: &str,
    ) -> Result<Vec<InstanceRecord>> {
        let keys: Vec<_> = scan::keys(servers, &self.keys, "").await?.into_iter().collect();
        let mut known = Vec::new();
        for keys in keys.chunks(BATCH) {
            let asked = |key: &Vec<u8>| ["GET", "PTTL"].map(|name| Request::command(name, key));
            let commands: Vec<_> = keys.iter().flat_map(asked).collect();
            let answers = servers.call_all(commands, servers::full_limit).await?;
            let mut answers = answers.into_iter();
            for key in keys {
                let (Some(said), Some(left)) = (answers.next(), answers.next()) else { break };
                match self.record(key, said, left) {
                    Ok(record) => known.extend(record),
                    // One that is damaged must not hide the others.
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        let error = error.during("instances").on_store(store);
                        tracing::error!(%error, "an instance cannot be listed");
                    }
                    // A server that failed in between must not hide the instances on the others.
                    Err(error) if servers.is_cluster() && error.is_transient() => {
                        tracing::warn!(%error, "an instance cannot be listed");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        known.sort_by_key(|record| record.presence.holder.instance);
        Ok(known)
    }

    /// What a key says, and for how long; none when it is gone since it was found.
    fn record(
        &self,
        key: &[u8],
        said: Result<Value>,
        left: Result<Value>,
    ) -> Result<Option<InstanceRecord>> {
        let said = match said {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return Err(corrupt(key, "it holds something else").with_source(error));
            }
            said => said?,
        };
        let said = match said {
            Value::Nil => return Ok(None),
            Value::BulkString(said) => said,
            _ => return Err(corrupt(key, "it is no string")),
        };
        let left = match left? {
            // The first is gone, the second never ends.
            Value::Int(-2) => return Ok(None),
            Value::Int(-1) => return Err(corrupt(key, "it has no time to live")),
            Value::Int(left) => u64::try_from(left).ok(),
            _ => None,
        };
        let left = left.ok_or_else(|| corrupt(key, "it does not tell what is left of it"))?;
        let presence: Presence = serde_json::from_slice(&said)
            .map_err(|cause| corrupt(key, "it tells no instance").with_source(cause))?;
        if self.key(presence.holder.instance).as_bytes() != key {
            return Err(corrupt(key, "it tells of another instance"));
        }
        Ok(Some(InstanceRecord { presence, left: Duration::from_millis(left) }))
    }
}

/// Rounded up: keys expire by whole milliseconds.
fn millis(ttl: Duration) -> String {
    ttl.as_nanos().div_ceil(1_000_000).to_string()
}

fn corrupt(key: &[u8], what: &str) -> Error {
    let key = String::from_utf8_lossy(key);
    Error::new(ErrorKind::Corrupt, format!("the key {key:?} is not as leasehold writes it: {what}"))
        .with_fix("delete it, or use another namespace")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Holder, LockName, Namespace};

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn instance_records_round_trip_or_fail() {
        let instances = Instances::new(&Namespace::new("ns").unwrap());
        let campaigns = vec![LockName::new("a").unwrap()];
        let presence = Presence { holder: Holder::current(), campaigns, unlisted: 3 };
        let key = instances.key(presence.holder.instance);
        assert_eq!(key, format!("ns:instance:{}", presence.holder.instance));
        let said = serde_json::to_string(&presence).unwrap();
        let read = |key: &str, said: Value, left: Value| {
            instances.record(key.as_bytes(), Ok(said), Ok(left))
        };
        let left = Duration::from_millis(7);
        let record = InstanceRecord { presence, left };
        assert_eq!(read(&key, bulk(&said), Value::Int(7)).unwrap(), Some(record));
        // It ended between two questions.
        assert_eq!(read(&key, Value::Nil, Value::Int(-2)).unwrap(), None);
        assert_eq!(read(&key, bulk(&said), Value::Int(-2)).unwrap(), None);
        let other = instances.key(Uuid::now_v7());
        for (key, said, left) in [
            (&*key, bulk("{}"), Value::Int(7)),
            (&key, bulk("no JSON"), Value::Int(7)),
            (&key, Value::BulkString(vec![0xff]), Value::Int(7)),
            (&key, Value::Int(7), Value::Int(7)),
            (&key, bulk(&said), Value::Int(-1)),
            (&key, bulk(&said), Value::Int(-3)),
            (&key, bulk(&said), bulk("7")),
            (&other, bulk(&said), Value::Int(7)),
            (&key.to_uppercase(), bulk(&said), Value::Int(7)),
        ] {
            let error = read(key, said, left).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(key), "{error}");
        }
        let wrong = || Err(Error::new(ErrorKind::Corrupt, "WRONGTYPE"));
        let error = instances.record(key.as_bytes(), wrong(), Ok(Value::Int(7))).unwrap_err();
        assert!(error.to_string().contains(&key), "{error}");
        let denied = || Err(Error::new(ErrorKind::Denied, "NOPERM"));
        let error = instances.record(key.as_bytes(), denied(), denied()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }

    #[test]
    fn a_ttl_is_rounded_up() {
        assert_eq!(millis(Duration::from_millis(50)), "50");
        assert_eq!(millis(Duration::from_nanos(50_000_001)), "51");
    }
}

//! The records of instances: the server keeps a string for each until it expires.

use std::time::Duration;

use ::redis::Value;
use uuid::Uuid;

use super::request::Request;
use super::scan;
use super::servers::{self, Servers};
use crate::shell::StoredInstance;
use crate::{Error, ErrorKind, Namespace, Result};

/// This many instances are read in one round trip, since the text of each may be long.
const BATCH: usize = 100;

/// The keys of the instances.
#[derive(Debug)]
pub(super) struct Instances {
    /// The prefix of the keys, before an instance's id.
    keys: String,
}

impl Instances {
    pub(super) fn new(namespace: &Namespace) -> Self {
        Self { keys: format!("{namespace}:instance:") }
    }

    fn key(&self, instance: Uuid) -> String {
        format!("{}{instance}", self.keys)
    }

    /// Replaces the text of an instance and the time when it expires, in one command.
    pub(super) async fn announce(
        &self,
        servers: &Servers,
        instance: Uuid,
        text: &str,
        ttl: Duration,
    ) -> Result<()> {
        let key = self.key(instance);
        let mut command = ::redis::cmd("SET");
        command.arg(&key).arg(text).arg("PX").arg(millis(ttl));
        servers.call(Request::Command { key: key.into(), command }).await.map(drop)
    }

    pub(super) async fn withdraw(&self, servers: &Servers, instance: Uuid) -> Result<()> {
        let delete = Request::command("DEL", self.key(instance).as_bytes());
        servers.call(delete).await.map(drop)
    }

    /// Reads the texts of all instances from every primary.
    pub(super) async fn stored(&self, servers: &Servers) -> Result<Vec<StoredInstance>> {
        let keys: Vec<_> = scan::keys(servers, &self.keys, "").await?.into_iter().collect();
        let mut all = Vec::new();
        for keys in keys.chunks(BATCH) {
            let requests = |key: &Vec<u8>| ["GET", "PTTL"].map(|name| Request::command(name, key));
            let commands: Vec<_> = keys.iter().flat_map(requests).collect();
            let answers = servers.call_all(commands, servers::full_limit).await?;
            let mut answers = answers.into_iter();
            for key in keys {
                let (Some(text), Some(left)) = (answers.next(), answers.next()) else { break };
                match self.read(key, text, left) {
                    Ok(stored) => all.extend(stored),
                    // A server that failed in between must not hide the instances on the others.
                    Err(error) if servers.is_cluster() && error.is_transient() => {
                        tracing::warn!(%error, "an instance cannot be listed");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(all)
    }

    /// Returns the record at a key, or `None` if the key no longer exists.
    fn read(
        &self,
        key: &[u8],
        text: Result<Value>,
        left: Result<Value>,
    ) -> Result<Option<StoredInstance>> {
        let id = key.strip_prefix(self.keys.as_bytes()).unwrap_or(key);
        let id = String::from_utf8_lossy(id).into_owned();
        match parse(key, text, left) {
            Ok(Some((text, left))) => Ok(Some(StoredInstance { key: id, text: Ok(text), left })),
            Ok(None) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                Ok(Some(StoredInstance { key: id, text: Err(error), left: Duration::ZERO }))
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads the text at a key, and for how long it is kept.
fn parse(
    key: &[u8],
    text: Result<Value>,
    left: Result<Value>,
) -> Result<Option<(String, Duration)>> {
    let text = match text {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            return Err(corrupt(key, "it holds a foreign value").with_source(error));
        }
        text => text?,
    };
    let text = match text {
        Value::Nil => return Ok(None),
        Value::BulkString(text) => text,
        _ => return Err(corrupt(key, "it is not a string")),
    };
    let left = match left? {
        // Redis returns -2 for a key that does not exist, and -1 for a key that never expires.
        Value::Int(-2) => return Ok(None),
        Value::Int(-1) => return Err(corrupt(key, "it has no time to live")),
        Value::Int(left) => u64::try_from(left).ok(),
        _ => None,
    };
    let left = left.ok_or_else(|| corrupt(key, "the server does not say when it expires"))?;
    let text = String::from_utf8(text)
        .map_err(|cause| corrupt(key, "it is not UTF-8").with_source(cause))?;
    Ok(Some((text, Duration::from_millis(left))))
}

/// Returns the ttl in milliseconds, rounded up, since keys expire by whole milliseconds.
fn millis(ttl: Duration) -> String {
    ttl.as_nanos().div_ceil(1_000_000).to_string()
}

fn corrupt(key: &[u8], what: &str) -> Error {
    let key = String::from_utf8_lossy(key);
    Error::new(ErrorKind::Corrupt, format!("the key {key:?} is corrupt: {what}"))
        .with_fix("delete it, or use another namespace")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn instances_are_read_or_reported_as_corrupt() {
        let instances = Instances::new(&Namespace::new("ns").unwrap());
        let id = Uuid::now_v7();
        let key = instances.key(id);
        assert_eq!(key, format!("ns:instance:{id}"));
        let read =
            |text: Result<Value>, left: Result<Value>| instances.read(key.as_bytes(), text, left);
        let stored = read(Ok(bulk("text")), Ok(Value::Int(7))).unwrap().unwrap();
        assert_eq!((stored.key, stored.left), (id.to_string(), Duration::from_millis(7)));
        assert_eq!(stored.text.unwrap(), "text");
        // The key expired between two commands.
        for text in [Value::Nil, bulk("text")] {
            assert!(read(Ok(text), Ok(Value::Int(-2))).unwrap().is_none());
        }
        let wrong_type = Err(Error::new(ErrorKind::Corrupt, "WRONGTYPE"));
        for (text, left) in [
            (Ok(Value::BulkString(vec![0xff])), Value::Int(7)),
            (Ok(Value::Int(7)), Value::Int(7)),
            (Ok(bulk("text")), Value::Int(-1)),
            (Ok(bulk("text")), Value::Int(-3)),
            (Ok(bulk("text")), bulk("7")),
            (wrong_type, Value::Int(7)),
        ] {
            let stored = read(text, Ok(left)).unwrap().unwrap();
            let error = stored.text.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(&key), "{error}");
        }
        let denied = || Err(Error::new(ErrorKind::Denied, "NOPERM"));
        assert_eq!(read(denied(), denied()).unwrap_err().kind(), ErrorKind::Denied);
    }

    #[test]
    fn a_ttl_is_rounded_up() {
        assert_eq!(millis(Duration::from_millis(50)), "50");
        assert_eq!(millis(Duration::from_nanos(50_000_001)), "51");
    }
}

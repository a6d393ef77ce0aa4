//! The names of all locks, and other keys, from every primary.

use std::collections::BTreeSet;

use ::redis::{FromRedisValue, Value};

use super::link::Link;
use super::record::strange;
use crate::{LockName, Result};

/// How many keys a step looks at.
const STEP: u32 = 1000;

/// All names under that prefix of keys that begin with `wanted`.
pub(super) async fn names(link: &Link, prefix: &str, wanted: &str) -> Result<BTreeSet<LockName>> {
    let found = keys(link, prefix, wanted).await?;
    // What is no name under our prefix is not ours.
    let names = found.iter().filter_map(|key| {
        let name = str::from_utf8(key.strip_prefix(prefix.as_bytes())?).ok()?;
        LockName::new(name).ok()
    });
    Ok(names.collect())
}

/// All keys under that prefix that go on with `wanted`.
pub(super) async fn keys(link: &Link, prefix: &str, wanted: &str) -> Result<BTreeSet<Vec<u8>>> {
    let pattern = format!("{prefix}{}*", escaped(wanted));
    let mut keys = BTreeSet::new();
    let mut cursors = link.scan_starts().await?;
    while let Some((node, cursor)) = cursors.pop() {
        let mut scan = ::redis::cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
        let answer = link.command_at(&node, &scan).await?;
        let (next, found) =
            <(String, Vec<Value>)>::from_redis_value(answer).map_err(|_| strange())?;
        for key in found {
            let Value::BulkString(key) = key else { return Err(strange()) };
            keys.insert(key);
        }
        if next != "0" {
            cursors.push((node, next));
        }
    }
    Ok(keys)
}

/// Without meaning in a pattern of Redis.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

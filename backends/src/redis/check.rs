//! Checks, when a store opens, that the server knows the commands and that the user may run them.

use super::error;
use super::record::{Answer, strange};
use super::request::{Call, Request};
use super::scripts;
use super::servers::Servers;
use crate::{Error, ErrorKind, Result};

/// Runs the required commands in a way that writes nothing.
///
/// A command that the server does not know is an error, and so is a missing permission to read.
/// Missing permissions to write, list or publish cause a warning only, since a user may be meant to
/// lack them.
pub(super) async fn check(servers: &Servers, keys: &str, channel: &str) -> Result<()> {
    // No lock can have the empty name.
    let script =
        Call { script: &scripts::CHECK, key: keys.into(), arguments: vec![channel.into()] };
    let answer = Answer::new(servers.call(Request::Script(script)).await?)?;
    if answer.word != "checked" {
        return Err(strange());
    }
    let unknown = answer.words(1)?;
    if !unknown.is_empty() {
        return Err(error::no_command(&unknown.join(", ")));
    }
    let mut refused = answer.words(0)?;
    let reads: Vec<_> =
        refused.iter().copied().filter(|command| matches!(*command, "TIME" | "HGETALL")).collect();
    if !reads.is_empty() {
        let message = format!("the user may not run {} in scripts", reads.join(", "));
        let fix = format!("grant it: ACL SETUSER USER +{}", reads.join(" +").to_lowercase());
        return Err(Error::new(ErrorKind::Denied, message).with_fix(fix));
    }
    if let Err(error) = scan_once(servers, keys).await {
        match error.kind() {
            ErrorKind::Unsupported => return Err(error),
            ErrorKind::Denied => refused.push("SCAN"),
            // Other problems with a server show when it is used.
            _ => tracing::debug!(%error, "a server was not checked"),
        }
    }
    for command in refused {
        let then = match command {
            "PUBLISH" => "waiters are not woken and find out when they poll",
            "SCAN" => "locks cannot be listed",
            _ => "locks can be read but not acquired, renewed or disabled",
        };
        tracing::warn!(
            missing = format!("+{}", command.to_lowercase()),
            "the user of the Redis store lacks a right: {then}"
        );
    }
    Ok(())
}

async fn scan_once(servers: &Servers, keys: &str) -> Result<()> {
    let primaries = servers.primaries().await?;
    let mut command = ::redis::cmd("SCAN");
    command.arg("0").arg("MATCH").arg(keys).arg("COUNT").arg(1);
    match primaries.first() {
        Some(primary) => {
            primary.call(Request::Command { key: Vec::new(), command }).await.map(drop)
        }
        None => Ok(()),
    }
}

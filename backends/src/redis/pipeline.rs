//! Sends commands in one round trip and reads their answers.

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{Cmd, Pipeline, RedisError, RedisResult, Value};

use super::error_codes;
use super::request::Request;

/// The answers to a batch, and to the command that was sent after it.
pub(super) type Replies = (Vec<RedisResult<Value>>, Option<RedisResult<Value>>);

/// Sends the requests, followed by `then`, and sends those again whose scripts the server does not
/// have.
pub(super) async fn run(
    connection: &mut MultiplexedConnection,
    requests: &[Request],
    then: Option<&Cmd>,
) -> RedisResult<Replies> {
    let by_hash = requests.iter().map(Request::by_hash).chain(then.cloned());
    let mut replies = exchange(connection, by_hash).await?;
    let mut last = then.and_then(|_| replies.pop());
    let missing: Vec<_> = (0..replies.len())
        .filter(|&at| matches!(&replies[at], Err(cause) if error_codes::is_no_script(cause)))
        .collect();
    if !missing.is_empty() {
        let with_source = missing.iter().map(|&at| requests[at].with_source()).chain(then.cloned());
        let mut again = exchange(connection, with_source).await?;
        last = then.and_then(|_| again.pop());
        for (at, reply) in missing.into_iter().zip(again) {
            replies[at] = reply;
        }
    }
    Ok((replies, last))
}

pub(super) async fn exchange(
    connection: &mut MultiplexedConnection,
    commands: impl IntoIterator<Item = Cmd>,
) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut pipeline = Pipeline::new();
    let mut count = 0;
    for command in commands {
        pipeline.add_command(command);
        count += 1;
    }
    let values = connection.req_packed_commands(&pipeline, 0, count).await?;
    if values.len() != count {
        return Err(missing());
    }
    Ok(values.into_iter().map(Value::extract_error).collect())
}

pub(super) fn missing() -> RedisError {
    RedisError::from((::redis::ErrorKind::Parse, "replies are missing"))
}

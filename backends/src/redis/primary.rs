//! A server that stores keys.

use std::sync::Arc;

use ::redis::{Cmd, Value};
use tokio::time::timeout;

use super::address::Address;
use super::connect::NODE_CONNECT_TIMEOUT;
use super::error_codes;
use super::request::Request;
use super::shared_connection::SharedConnection;
use crate::common::timeout::{CALL_LIMIT, unanswered};
use crate::{ErrorKind, Result};

/// A server that stores keys, with its address in a cluster.
pub(super) struct Primary {
    pub(super) connection: Arc<SharedConnection>,
    pub(super) node: Option<Address>,
}

impl Primary {
    /// Runs a command that changes nothing. In a cluster, errors name the node, which must answer
    /// in less time than a call may take.
    pub(super) async fn read(&self, command: Cmd) -> Result<Value> {
        let limit = if self.node.is_some() { NODE_CONNECT_TIMEOUT } else { CALL_LIMIT };
        let call = self.connection.call(Request::Command { key: Vec::new(), command });
        let answer = timeout(limit, call).await;
        let answer = answer.unwrap_or_else(|_| Err(unanswered(ErrorKind::Unavailable, limit)));
        answer.map_err(|cause| match &self.node {
            Some(node) if cause.is_transient() => error_codes::of_node(node, cause),
            _ => cause,
        })
    }
}

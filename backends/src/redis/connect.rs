//! Opens connections to one server.

use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisResult, Value};

use super::address::Address;
use super::error_codes;
use crate::Result;

/// Connecting may take this long: less than a call, so that a request without a connection was
/// certainly not sent.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connecting to one node of a cluster may take this long, so that others are reached in time if
/// one hangs.
pub(super) const NODE_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns a client for that address with the settings of another client.
pub(super) fn client_at(model: &ConnectionInfo, address: &Address) -> RedisResult<Client> {
    let (host, port) = (address.host.clone(), address.port);
    let address = match model.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    Client::open(model.clone().set_addr(address))
}

/// Opens a connection without time limits, since the caller limits connecting and calls.
pub(super) async fn plain(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Opens a connection to a server, which must be a primary.
///
/// Writes that a replica accepts reach no other server, so they must not decide about locks. If the
/// user may not ask for the role, or a proxy does not know the command, the role is not checked; a
/// replica refuses writes by default.
pub(super) async fn primary(client: &Client) -> Result<MultiplexedConnection> {
    let mut connection = plain(client).await.map_err(error_codes::connecting)?;
    let answer = connection.req_packed_command(&::redis::cmd("ROLE")).await;
    match answer.and_then(Value::extract_error) {
        Ok(Value::Array(role)) => match role.first() {
            Some(Value::BulkString(role)) if role == b"slave" => Err(error_codes::replica()),
            Some(Value::BulkString(role)) if role == b"sentinel" => Err(error_codes::sentinel()),
            _ => Ok(connection),
        },
        Ok(_) => Ok(connection),
        Err(cause) if error_codes::may_not_ask(&cause) => Ok(connection),
        Err(cause) => Err(error_codes::connecting(cause)),
    }
}

/// Installs a cryptography provider for TLS, unless the application has installed one.
///
/// The driver uses the provider of the process, and panics where rustls cannot choose one.
pub(super) fn provide_cryptography() {
    _ = rustls::crypto::ring::default_provider().install_default();
}

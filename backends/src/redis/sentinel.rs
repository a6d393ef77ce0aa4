//! The primary that sentinels name.
//!
//! All sentinels are asked at once and the first server that is a primary is taken, so that neither
//! a sentinel that is down nor one that knows too little keeps anybody waiting.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, ConnectionAddr, ConnectionInfo, RedisError};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;

use super::error;
use super::place;
use crate::{Error, ErrorKind, Result};

/// How long a sentinel may take, and after it the server that it names: together less than
/// connecting may take.
const STEP: Duration = Duration::from_secs(2);

const NAME_SENTINELS: &str =
    "write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, with the sentinels' own ports";

pub(super) struct Sentinels {
    pub(super) clients: Vec<Client>,
    pub(super) service: String,
    /// How its servers are connected to, but for the address.
    pub(super) node: ConnectionInfo,
}

/// Why a sentinel led to no primary. The last tells most.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Repeated,
    Reached,
    Asked,
    Answered,
}

impl Sentinels {
    pub(super) async fn primary(&self) -> Result<(Client, MultiplexedConnection)> {
        let tried = Mutex::default();
        let mut ways: FuturesUnordered<_> =
            self.clients.iter().map(|sentinel| self.by(sentinel, &tried)).collect();
        let mut failed =
            (Step::Repeated, Error::invalid("the URL names no sentinel").with_fix(NAME_SENTINELS));
        while let Some(way) = ways.next().await {
            match way {
                Ok(found) => return Ok(found),
                Err(error) if error.0 > failed.0 => failed = error,
                Err(_) => {}
            }
        }
        Err(failed.1)
    }

    /// The way by one sentinel.
    async fn by(
        &self,
        sentinel: &Client,
        tried: &Mutex<HashSet<(String, u16)>>,
    ) -> std::result::Result<(Client, MultiplexedConnection), (Step, Error)> {
        let asked = async {
            let mut connection = place::plain(sentinel).await?;
            let mut ask = ::redis::cmd("SENTINEL");
            ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
            ask.query_async::<Option<(String, u16)>>(&mut connection).await
        };
        let address = match timeout(STEP, asked).await {
            Ok(Ok(Some(address))) => address,
            Ok(Ok(None)) => return Err((Step::Asked, unknown())),
            Ok(Err(cause)) => return Err(refused(cause)),
            Err(_) => return Err((Step::Reached, silent("no sentinel answers"))),
        };
        if !tried.lock().unwrap_or_else(PoisonError::into_inner).insert(address.clone()) {
            return Err((Step::Repeated, silent("no primary answers")));
        }
        let client =
            self.client(address).map_err(|cause| (Step::Answered, error::connecting(cause)))?;
        let connected = match timeout(STEP, place::primary(&client)).await {
            Ok(connected) => connected,
            Err(_) => Err(silent("the primary that the sentinels name does not answer")),
        };
        match connected {
            Ok(connection) => Ok((client, connection)),
            Err(error) => Err((Step::Answered, error)),
        }
    }

    fn client(&self, (host, port): (String, u16)) -> ::redis::RedisResult<Client> {
        let address = match self.node.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        Client::open(self.node.clone().set_addr(address))
    }
}

fn silent(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message).with_fix("is it up, and reachable from here?")
}

fn unknown() -> Error {
    Error::new(ErrorKind::Unavailable, "the sentinels know no service of that name").with_fix(
        "check the name after the slash in the URL: SENTINEL MASTERS lists those they know",
    )
}

fn refused(cause: RedisError) -> (Step, Error) {
    let error = error::connecting(cause);
    let cause = error::cause_of(&error);
    if cause.as_deref().is_some_and(|cause| cause.contains("unknown command")) {
        let message = "what answers is a server, and no sentinel";
        let error = Error::new(ErrorKind::Unavailable, message).with_fix(NAME_SENTINELS);
        return (Step::Asked, error);
    }
    if error.kind() == ErrorKind::Denied {
        let error = Error::new(ErrorKind::Denied, "the sentinels did not accept us")
            .with_fix(
                "put their own user and password into the URL: \
                 ?sentinel_username=USER&sentinel_password=PASSWORD, or the password alone",
            )
            .with_source(error);
        return (Step::Asked, error);
    }
    (
        Step::Reached,
        Error::new(ErrorKind::Unavailable, "no sentinel can be asked")
            .with_fix(
                "are they up, reachable from here, and does the URL say whether they speak TLS?",
            )
            .with_source(error),
    )
}

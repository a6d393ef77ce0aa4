//! PgBouncer in transaction mode, between a store and its server.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::extended;
use leasehold_conformance::servers::catalog::POSTGRES;
use leasehold_conformance::servers::{Image, Server, until_ready};
use leasehold_conformance::{CaseResult, Client, Failure, race};
use tokio::time::timeout;

use super::own::{LONG, fresh, name};
use super::{Postgres, options};

/// Server and pooler in one container, where the image has both.
const POOLED: Image = Image {
    port: 6432,
    command: &[
        "sh",
        "-c",
        "printf '[databases]\\n* = host=/tmp user=postgres\\n[pgbouncer]\\n\
         listen_addr=*\\nlisten_port=6432\\nauth_type=any\\npool_mode=transaction\\n\
         default_pool_size=4\\nmax_prepared_statements=100\\nunix_socket_dir=\\n' > /tmp/pooler.ini; \
         install -d -o postgres /tmp/data; \
         runuser -u postgres -- initdb -D /tmp/data -U postgres -A trust -E UTF8 --no-sync; \
         runuser -u postgres -- postgres -D /tmp/data -k /tmp -c listen_addresses= & \
         exec runuser -u postgres -- pgbouncer /tmp/pooler.ini",
    ],
    ..POSTGRES
};

pub(super) async fn a_pooler_of_transactions_serves(backend: Arc<Postgres>) -> CaseResult {
    backend.needs("pgbouncer").await?;
    let server = Server::start(&POOLED).await?;
    let url = POOLED.url_at(&server.address());
    let namespace = fresh();
    let open =
        || async { PostgresStore::connect(&url, &options(&namespace, Schema::Create)).await };
    let clients =
        [until_ready(open).await?, open().await?].map(|store| Client::new(Arc::new(store)));
    // Each statement may meet another of the server's sessions.
    race((0..16).map(|contender| {
        let client = clients[contender % 2].clone();
        async move {
            for round in 0..10 {
                let job = name(&format!("job {}", (contender + round) % 5));
                let taken = client.take_when_free(&job, LONG).await?;
                extended(client.renew(&job, taken.lease, LONG).await?);
                client.give_back(&taken).await?;
            }
            Ok(())
        }
    }))
    .await?;
    // Waiters are told to look, though no notification comes through.
    let mut hints = clients[1].watch().await?;
    for _ in 0..5 {
        let told = timeout(Duration::from_secs(100), hints.next()).await;
        told.map_err(|_| Failure::new("waiters are not told to look"))?;
    }
    Ok(())
}

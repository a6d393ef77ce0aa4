//! These cases cover a pooler that refuses settings of the session, as PgBouncer before 1.20 and
//! RDS Proxy do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::{Backend, CaseResult, Client, race};
use leasehold_core::LockStoreExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::support::{LONG, fresh, name};
use super::{Postgres, options};

/// Refuses a session whose startup message has the parameter `options`, even an empty one, and
/// forwards all others.
async fn serve(
    mut client: TcpStream,
    server: String,
    refused: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    loop {
        let length = client.read_u32().await?;
        let mut message = vec![0; usize::try_from(length).unwrap_or(0).saturating_sub(4)];
        client.read_exact(&mut message).await?;
        // A request for encryption has no parameters.
        if message.len() == 4 {
            client.write_all(b"N").await?;
            continue;
        }
        if message.windows(9).any(|word| word == b"\0options\0") {
            refused.fetch_add(1, Ordering::Relaxed);
            let fields = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
            client.write_u8(b'E').await?;
            client.write_u32(u32::try_from(fields.len() + 4).unwrap_or(0)).await?;
            client.write_all(fields).await?;
            return Ok(());
        }
        let mut upstream = TcpStream::connect(server).await?;
        upstream.write_u32(length).await?;
        upstream.write_all(&message).await?;
        copy_bidirectional(&mut client, &mut upstream).await?;
        return Ok(());
    }
}

pub(super) async fn a_store_works_behind_a_pooler_that_refuses_session_settings(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (namespace, address) = (fresh(), backend.address());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = backend.url().replace(&address, &listener.local_addr()?.to_string());
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let pooler = tokio::spawn(async move {
        let mut sessions = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            sessions.spawn(serve(client, address.clone(), Arc::clone(&count)));
        }
    });
    let store = PostgresStore::connect(&url, &options(&namespace, Schema::Create)).await?;
    let client = Client::new(Arc::new(store));
    let taken = client.acquire_free(&name("job"), LONG).await?;
    let known = refused.load(Ordering::Relaxed);
    assert!(known > 0, "the pooler is asked");
    // From then on the store does not send the settings.
    race((0..20).map(|_| {
        let (client, taken) = (client.clone(), taken.clone());
        async move {
            client.store().get(&taken.name).await?;
            client.store().renew_one(&taken.name, taken.lease, LONG).await?;
            Ok(())
        }
    }))
    .await?;
    assert_eq!(refused.load(Ordering::Relaxed), known);
    pooler.abort();
    backend.clean(&namespace).await?;
    Ok(())
}

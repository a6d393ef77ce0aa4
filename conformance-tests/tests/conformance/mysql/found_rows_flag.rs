//! These cases cover connections without CLIENT_FOUND_ROWS, as a proxy may leave them. An update
//! that changes nothing then counts no rows. sqlx always requests that flag.

use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{extended, granted, held, refused};
use leasehold_conformance::{Backend, CaseResult, Client};
use leasehold_core::{
    DisableOutcome, EnableOutcome, LeaseId, Namespace, ReleaseOutcome, RenewOptions, RenewOutcome,
};
use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::support::{LONG, fresh, name};
use super::{MySql, options};

/// This is the flag, in the lowest byte of a client's capabilities.
const FOUND_ROWS: u8 = 2;

/// Forwards a connection and removes the flag from the client's first packet.
async fn without_flag(mut client: TcpStream, server: String) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let mut greeting = [0; 4096];
    let length = server.read(&mut greeting).await?;
    client.write_all(&greeting[..length]).await?;
    // The head has the length, the number and the capabilities.
    let mut head = [0; 8];
    client.read_exact(&mut head).await?;
    head[4] &= !FOUND_ROWS;
    server.write_all(&head).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Checks each answer of a store that must distinguish a change from no change.
async fn answers(client: &Client) -> CaseResult {
    let (job, lease, ttl) = (name("job"), LeaseId::new(), LONG);
    granted(client.acquire(&job, lease, ttl).await?);
    granted(client.acquire(&job, lease, ttl).await?);
    held(client.acquire(&job, LeaseId::new(), ttl).await?);
    extended(client.renew(&job, lease, ttl).await?);
    assert_eq!(client.renew(&job, LeaseId::new(), ttl).await?, RenewOutcome::Lost);
    let other = client.acquire_free(&name("other"), ttl).await?.lease;
    let batch = [(&job, lease), (&name("other"), other), (&job, LeaseId::new())];
    let batch = batch.map(|(name, lease)| RenewOptions::new(name.clone(), lease, ttl));
    let renewed = client.store().renew(&batch).await?;
    assert_eq!(renewed[2], RenewOutcome::Lost);
    renewed.into_iter().take(2).for_each(|outcome| _ = extended(outcome));
    assert_eq!(client.disable(&job, "upkeep").await?, DisableOutcome::Disabled);
    let again = client.disable(&job, "upkeep").await?;
    assert!(matches!(again, DisableOutcome::AlreadyDisabled(_)), "{again:?}");
    refused(client.acquire(&job, lease, ttl).await?);
    let ending = client.renew(&job, lease, ttl).await?;
    assert!(matches!(ending, RenewOutcome::Disabled { .. }), "{ending:?}");
    assert_eq!(client.enable(&job).await?, EnableOutcome::Enabled);
    assert_eq!(client.enable(&job).await?, EnableOutcome::AlreadyEnabled);
    assert_eq!(client.release(&job, lease).await?, ReleaseOutcome::Released);
    assert_eq!(client.release(&job, lease).await?, ReleaseOutcome::NotHeld);
    client.acquire_free(&job, ttl).await?;
    Ok(())
}

pub(super) async fn outcomes_do_not_depend_on_the_found_rows_flag(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    answers(&backend.connect(backend.url(), &namespace).await?).await?;
    backend.clean(&namespace).await?;

    // An encrypted connection comes first. After that the server accepts the user over another
    // connection without the full proof of a password, which requires RSA or encryption.
    backend.connect(backend.url(), &namespace).await?;
    let url = backend.user_of_table(&namespace).await?;
    backend.connect(&url, &namespace).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let (proxy, server) = (listener.local_addr()?, backend.address());
    let proxying = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(without_flag(client, server.clone()));
        }
    });
    let done = on(&url, proxy.port(), &namespace).await;
    proxying.abort();
    backend.clean(&namespace).await?;
    done
}

async fn on(url: &str, port: u16, namespace: &Namespace) -> CaseResult {
    let connect: MySqlConnectOptions = url.parse()?;
    let connect = connect.host("127.0.0.1").port(port).ssl_mode(MySqlSslMode::Disabled);
    let pool = MySqlPoolOptions::new().acquire_timeout(Duration::from_secs(10));
    let pool = pool.connect_with(connect).await?;
    let store = MySqlStore::from_pool(pool.clone(), &options(namespace, Schema::Require)).await?;
    answers(&Client::new(Arc::new(store))).await?;
    let same = AssertSqlSafe(format!("UPDATE {namespace}_locks SET token = token"));
    let counted = sqlx::query(same).execute(&pool).await?.rows_affected();
    assert_eq!(counted, 0, "rows are counted as with the flag");
    Ok(())
}

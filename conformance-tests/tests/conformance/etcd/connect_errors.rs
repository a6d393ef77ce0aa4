//! These cases cover users, their permissions, and servers that are not etcd.

use std::sync::Arc;

use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::{extended, granted, held};
use leasehold_core::{ErrorKind, LeaseId, LockStore, RenewOutcome};
use leasehold_test_servers::{Server, until_ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::support::{LIMIT, TTL, connect, name, namespace};
use super::{Etcd, instances, start_server};
use crate::broken::broken;

async fn etcdctl(server: &Server, arguments: &str) -> CaseResult<String> {
    let command: Vec<_> = ["etcdctl"].into_iter().chain(arguments.split(' ')).collect();
    Ok(server.run(&command).await?)
}

pub(super) async fn users_need_the_password_and_permission_for_the_prefix(
    _: Arc<Etcd>,
) -> CaseResult {
    let server = start_server().await?;
    let (namespace, address) = (namespace()?, server.address());
    for line in [
        "user add root:secret",
        "user grant-role root root",
        "role add locks",
        &format!("role grant-permission locks readwrite --prefix=true /{namespace}/"),
        "user add app:secret",
        "user grant-role app locks",
        "user add other:secret",
        "auth enable",
    ] {
        etcdctl(&server, line).await?;
    }
    for (user, kind) in [
        ("app:wrong@", ErrorKind::Denied),
        ("nobody:secret@", ErrorKind::Denied),
        ("", ErrorKind::Denied),
        ("other:secret@", ErrorKind::Denied),
    ] {
        let error = connect(&format!("etcd://{user}{address}"), &namespace).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{user}: {error:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    // Permission to read and write the prefix is sufficient for everything.
    let app = connect(&format!("etcd://app:secret@{address}"), &namespace).await?;
    let mut hints = app.watch().await?;
    let taken = app.acquire_free(&name("job"), TTL).await?;
    held(app.acquire(&name("job"), LeaseId::new(), TTL).await?);
    extended(app.renew(&taken.name, taken.lease, TTL).await?);
    extended(app.renew(&taken.name, taken.lease, TTL * 2).await?);
    app.disable(&taken.name, "upkeep").await?;
    let outcome = app.renew(&taken.name, taken.lease, TTL).await?;
    assert!(matches!(outcome, RenewOutcome::Disabled { .. }), "{outcome:?}");
    app.release_held(&taken).await?;
    app.enable(&taken.name).await?;
    assert_eq!(app.names("").await?, [taken.name]);
    let here = instances::presence();
    app.store().announce(&here, TTL).await?;
    app.store().announce(&here, TTL).await?;
    app.store().announce(&here, TTL * 2).await?;
    assert_eq!(app.store().instances().await?.len(), 1);
    app.store().withdraw(here.holder.instance).await?;
    assert_eq!(app.store().instances().await?, []);
    let hint = timeout(LIMIT, futures_util::StreamExt::next(&mut hints)).await;
    assert!(hint.is_ok_and(|hint| hint.is_some()));
    // If etcd has forgotten a token, as it does after five minutes, the store requests a new one.
    server.stop().await?;
    server.start_again().await?;
    let retaken = until_ready(|| app.store().get_grant("job")).await;
    retaken?;
    // This permission is revoked while the store is open.
    let revoke =
        format!("--user root:secret role revoke-permission locks --prefix=true /{namespace}/");
    etcdctl(&server, &revoke).await?;
    let error = app.store().acquire(&name("job"), &app.options(LeaseId::new(), TTL)).await;
    assert_eq!(error.as_ref().unwrap_err().kind(), ErrorKind::Denied, "{error:?}");
    Ok(())
}

/// This is one attempt to acquire a name, which can be repeated.
trait Attempt {
    async fn get_grant(&self, job: &str) -> leasehold_core::Result<u64>;
}

impl Attempt for Arc<dyn LockStore> {
    async fn get_grant(&self, job: &str) -> leasehold_core::Result<u64> {
        let options = leasehold_core::AcquireOptions::new(
            LeaseId::new(),
            leasehold_core::Holder::current(),
            TTL,
        );
        Ok(granted(self.acquire(&name(job), &options).await?).token.get())
    }
}

pub(super) async fn a_server_that_is_not_etcd_is_refused(_: Arc<Etcd>) -> CaseResult {
    let namespace = namespace()?;
    // The server replies in another protocol, closes at once, or sends nothing.
    for answer in [Some("HTTP/1.1 400 Bad Request\r\n\r\n"), Some(""), None] {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(broken)?;
        let address = listener.local_addr().map_err(broken)?;
        let answering = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                match answer {
                    Some(answer) => {
                        _ = stream.write_all(answer.as_bytes()).await;
                        _ = stream.read(&mut [0; 64]).await;
                    }
                    None => kept.push(stream),
                }
            }
        });
        for user in ["", "u:secret@"] {
            let url = format!("etcd://{user}{address}");
            let opened = timeout(LIMIT, connect(&url, &namespace)).await;
            let error = opened.expect("it ends").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{answer:?}: {error:?}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        answering.abort();
    }
    // Nothing listens at this port.
    let error = connect("etcd://127.0.0.1:1", &namespace).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    Ok(())
}

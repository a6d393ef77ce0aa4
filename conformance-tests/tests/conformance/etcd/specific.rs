//! This module has cases that are specific to etcd, each on its own server.

use std::sync::Arc;

use leasehold::etcd::EtcdStore;
use leasehold_conformance::expect::{extended, granted, held};
use leasehold_conformance::{CaseResult, OwnCase};
use leasehold_core::{ErrorKind, LeaseId, LockStore, LockStoreExt, RenewOptions, RenewOutcome};
use leasehold_test_servers::catalog::ETCD;
use leasehold_test_servers::{Image, LinkBehaviour, Proxy, Server, until_ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::support::{LIMIT, TTL, connect, name, namespace};
use super::{
    Etcd, client, instances, kept_leases, members, metrics, options, records, start_server, tls,
};
use crate::broken::broken;
use crate::kept;

/// These are the cases, each with its name.
pub(crate) const CASES: &[OwnCase<Etcd>] = &[
    ("own::users_need_their_password_and_the_right_to_the_prefix", |b| Box::pin(users(b))),
    ("own::what_is_no_etcd_is_one_clear_error", |b| Box::pin(no_etcd(b))),
    ("own::foreign_and_damaged_keys_are_left_alone", |b| Box::pin(records::damage(b))),
    ("own::a_record_of_a_later_version_is_named", |b| Box::pin(records::versions(b))),
    ("own::long_keys_of_other_names_cost_no_renewal", |b| Box::pin(records::long_keys(b))),
    ("own::what_is_no_name_hides_no_name", |b| Box::pin(records::no_names(b))),
    ("own::a_grant_without_a_time_is_an_old_one", |b| Box::pin(records::without_time(b))),
    ("own::a_member_that_is_cut_off_costs_no_call", |b| Box::pin(members::cut_off(b))),
    ("own::a_frozen_leader_costs_no_call", |b| Box::pin(members::frozen(b))),
    ("own::keep_alives_go_to_the_leader", |b| Box::pin(members::leader_first(b))),
    ("own::a_damaged_instance_hides_no_other", |b| Box::pin(instances::damage(b))),
    ("own::an_instance_has_one_lease_and_leaves_none", |b| Box::pin(instances::leases(b))),
    ("own::long_instances_are_all_known", |b| Box::pin(instances::long(b))),
    ("own::keep_alives_share_a_few_streams", |b| Box::pin(few_streams(b))),
    ("own::one_etcd_lease_serves_lock_after_lock", |b| Box::pin(kept_leases::reused(b))),
    ("own::refused_attempts_share_one_etcd_lease", |b| Box::pin(kept_leases::refused(b))),
    ("own::a_kept_etcd_lease_is_extended_when_it_is_used", |b| Box::pin(kept_leases::full(b))),
    ("own::a_kept_etcd_lease_that_was_revoked_is_replaced", |b| Box::pin(kept_leases::revoked(b))),
    ("own::kept_etcd_leases_end_with_their_store", |b| Box::pin(kept_leases::closed(b))),
    ("own::an_etcd_lease_of_another_store_is_not_kept", |b| Box::pin(kept_leases::foreign(b))),
    ("own::a_lock_is_had_over_tls", |b| Box::pin(tls::a_lock_is_had_over_tls(b))),
    ("own::clients_have_certificates", |b| Box::pin(tls::clients_have_certificates(b))),
    ("own::connections_that_become_silent_cost_no_lease", |b| Box::pin(silent_connections(b))),
    ("own::a_killed_leader_costs_no_lease", |b| Box::pin(killed_leader(b))),
    ("own::a_compaction_ends_no_watch", |b| Box::pin(compaction(b))),
];

async fn etcdctl(server: &Server, arguments: &str) -> CaseResult<String> {
    let command: Vec<_> = ["etcdctl"].into_iter().chain(arguments.split(' ')).collect();
    Ok(server.run(&command).await?)
}

async fn users(_: Arc<Etcd>) -> CaseResult {
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

async fn no_etcd(_: Arc<Etcd>) -> CaseResult {
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

/// Runs once with one member, and once with three members that are all cut off in the same way.
async fn silent_connections(backend: Arc<Etcd>) -> CaseResult {
    let cut = async |members: usize| {
        let mut proxies = Vec::new();
        for _ in 0..members {
            proxies.push(Proxy::start(&backend.address()).await.map_err(broken)?);
        }
        let addresses: Vec<_> = proxies.iter().map(Proxy::address).collect();
        let url = ETCD.url_at(&addresses.join(","));
        let store = EtcdStore::connect(&url, &options(&namespace()?)).await?;
        kept::silent_connections(Arc::new(store), &proxies).await
    };
    let (one, three) = tokio::join!(cut(1), cut(3));
    one.and(three)
}

async fn compaction(backend: Arc<Etcd>) -> CaseResult {
    let namespace = namespace()?;
    let proxy = Proxy::start(&backend.address()).await.map_err(broken)?;
    let far = connect(&ETCD.url_at(&proxy.address()), &namespace).await?;
    let near = connect(backend.url(), &namespace).await?;
    let mut hints = far.watch().await?;
    proxy.set(LinkBehaviour::Cut);
    let taken = near.acquire_free(&name("job"), TTL).await?;
    near.release_held(&taken).await?;
    let mut raw = client(backend.address()).await.map_err(broken)?;
    let revision = i64::from(near.acquire_free(&name("other"), TTL).await?.token);
    raw.compact(revision, None).await.map_err(broken)?;
    proxy.set(LinkBehaviour::Pass);
    let hint = timeout(LIMIT, futures_util::StreamExt::next(&mut hints)).await.expect("a hint");
    assert_eq!(hint, Some(leasehold_core::Hint::Anything));
    near.disable(&name("job"), "upkeep").await?;
    let hint = timeout(LIMIT, futures_util::StreamExt::next(&mut hints)).await.expect("a hint");
    assert!(hint.is_some());
    Ok(())
}

/// Three members run in one container, and only the first can be reached from outside.
const THREE: Image = Image {
    command: &[
        "sh",
        "-c",
        "all=m1=http://127.0.0.1:2381,m2=http://127.0.0.1:2382,m3=http://127.0.0.1:2383; \
         for n in 1 2 3; do \
           client=http://127.0.0.1:239$n; [ $n = 1 ] && client=http://0.0.0.0:2379; \
           etcd --name m$n --data-dir /tmp/m$n --initial-cluster $all \
             --initial-advertise-peer-urls http://127.0.0.1:238$n \
             --listen-peer-urls http://127.0.0.1:238$n \
             --listen-client-urls $client --advertise-client-urls $client & \
           echo $! > /tmp/m$n.pid; \
         done; wait",
    ],
    ..ETCD
};

async fn killed_leader(_: Arc<Etcd>) -> CaseResult {
    let server = Server::start(&THREE).await?;
    let mut raw = until_ready(|| client(server.address())).await?;
    let (namespace, url) = (namespace()?, ETCD.url_at(&server.address()));
    let store = connect(&url, &namespace).await?;
    let held_before = store.acquire_free(&name("held"), TTL).await?;
    let disabled = store.acquire_free(&name("disabled"), TTL).await?;
    store.disable(&disabled.name, "upkeep").await?;
    // Clients reach the cluster through the first member, so another one must lead.
    let members = raw.member_list().await.map_err(broken)?;
    let first = members.members().iter().find(|member| member.name() == "m1").expect("m1");
    let mut leader = raw.status().await.map_err(broken)?.leader();
    if leader == first.id() {
        let other = members.members().iter().find(|member| member.id() != first.id());
        leader = other.expect("another member").id();
        raw.move_leader(leader).await.map_err(broken)?;
    }
    let name_of = members.members().iter().find(|member| member.id() == leader);
    let pid = format!("/tmp/{}.pid", name_of.expect("the leader is a member").name());
    server.run(&["sh", "-c", &format!("kill -9 $(cat {pid})")]).await?;
    let renewed =
        until_ready(|| store.store().renew_one(&held_before.name, held_before.lease, TTL));
    extended(renewed.await?);
    let other = connect(&url, &namespace).await?;
    let outcome = other.acquire(&held_before.name, LeaseId::new(), TTL).await?;
    assert_eq!(held(outcome).token, held_before.token);
    let outcome = store.renew(&disabled.name, disabled.lease, TTL).await?;
    assert!(matches!(outcome, RenewOutcome::Disabled { .. }), "{outcome:?}");
    store.release_held(&held_before).await?;
    assert!(other.acquire_free(&held_before.name, TTL).await?.token > disabled.token);
    assert_ne!(raw.status().await.map_err(broken)?.leader(), leader, "the leader was killed");
    Ok(())
}

async fn few_streams(_: Arc<Etcd>) -> CaseResult {
    let server = start_server().await?;
    let client = connect(&ETCD.url_at(&server.address()), &namespace()?).await?;
    let mut leases = Vec::new();
    for number in 0..200 {
        let taken = client.acquire_free(&name(&format!("job {number}")), TTL).await?;
        leases.push(RenewOptions::new(taken.name, taken.lease, TTL));
    }
    for _ in 0..3 {
        // The batch is sent twice at the same time, so that several requests for one lease are
        // under way.
        let (one, other) =
            tokio::join!(client.store().renew(&leases), client.store().renew(&leases));
        for outcome in one?.into_iter().chain(other?) {
            extended(outcome);
        }
    }
    // A lease that has ended is reported as lost, and does not get the answer of another lease.
    let unknown = RenewOptions::new(leases[0].name.clone(), LeaseId::new(), TTL);
    client.release(&leases[1].name, leases[1].lease).await?;
    let outcomes = client.store().renew(&[unknown, leases[1].clone(), leases[2].clone()]).await?;
    assert!(
        matches!(
            outcomes[..],
            [RenewOutcome::Lost, RenewOutcome::Lost, RenewOutcome::Extended { .. }]
        ),
        "{outcomes:?}"
    );
    let streams = metrics::streams(&server.address()).await?;
    assert!((2..=8).contains(&streams), "{streams} streams");
    Ok(())
}

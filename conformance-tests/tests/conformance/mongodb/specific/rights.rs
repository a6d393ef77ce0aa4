//! These cases cover the permissions that users need.

use std::sync::Arc;

use futures_util::StreamExt;
use leasehold::OpenOptions;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::expect::{extended, held, refused};
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{ErrorKind, LeaseId, LockName, LockStoreExt};
use leasehold_test_servers::until_ready;
use mongodb::bson::{Document, doc};
use tokio::time::timeout;

use super::instances::presence;
use super::support::{LIMIT, TTL, full_message};
use crate::mongodb::backend::MongoDb;
use crate::mongodb::endpoint::{Endpoint, GUARDED};
use crate::mongodb::probes::application;

/// These are the actions that a user needs at least.
const ACTIONS: [(&str, [&str; 4]); 2] = [
    ("leasehold_locks", ["find", "insert", "update", "changeStream"]),
    ("leasehold_instances", ["find", "insert", "update", "remove"]),
];

pub(super) async fn the_documented_permissions_are_sufficient(_: Arc<MongoDb>) -> CaseResult {
    let endpoint = Endpoint::start(&GUARDED).await?;
    create_users(&endpoint).await?;
    let options = OpenOptions::default();
    let name = LockName::new("job")?;

    for url in [endpoint.url_as("full", "mistake"), endpoint.url_as("nobody", "secret")] {
        let error = MongoStore::connect(&url, &options).await.expect_err("the password is wrong");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("authSource"), "{error}");
        assert!(!full_message(&error).contains("mistake"), "{}", full_message(&error));
    }
    let error = MongoStore::connect(endpoint.url(), &options).await.expect_err("no user logged in");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");

    let full = MongoStore::connect(&endpoint.url_as("full", "secret"), &options).await?;
    use_all(&Client::new(Arc::new(full)), "of the role").await?;
    let least = MongoStore::connect(&endpoint.url_as("least", "secret"), &options).await?;
    use_all(&Client::new(Arc::new(least)), "of the actions").await?;

    let reader = MongoStore::connect(&endpoint.url_as("reader", "secret"), &options).await?;
    let reader = Client::new(Arc::new(reader));
    assert_eq!(reader.get(&name).await?, None);
    let request = reader.options(LeaseId::new(), TTL);
    let error = reader.store().acquire(&name, &request).await.expect_err("it may only read");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("readWrite"), "{error}");
    let error = reader.store().renew_one(&name, LeaseId::new(), TTL).await;
    assert_eq!(error.expect_err("it may only read").kind(), ErrorKind::Denied);
    Ok(())
}

async fn create_users(endpoint: &Endpoint) -> CaseResult {
    create_first_user(endpoint).await?;
    let root = format!("{}&authSource=admin", endpoint.url_as("root", "secret"));
    let database = application(&root, |_| ()).await?;
    let any = database.collection::<Document>("any");
    until_ready(|| async { any.find_one(doc! {}).await }).await?;
    let privileges = ACTIONS.map(|(collection, actions)| {
        let resource = doc! { "db": database.name(), "collection": collection };
        doc! { "resource": resource, "actions": actions.to_vec() }
    });
    let role = doc! { "createRole": "locks", "privileges": privileges.to_vec(), "roles": [] };
    database.run_command(role).await?;
    for (user, role) in [("full", "readWrite"), ("reader", "read"), ("least", "locks")] {
        let user = doc! { "createUser": user, "pwd": "secret", "roles": [role] };
        database.run_command(user).await?;
    }
    Ok(())
}

/// Creates the first user. The public image already has it. The stand-in has none, and accepts the
/// first user only from its own host, where it has no client, so the request is sent as bytes.
async fn create_first_user(endpoint: &Endpoint) -> CaseResult {
    let user = doc! {
        "createUser": "root", "pwd": "secret", "roles": ["root"], "$db": "admin",
    };
    let body = mongodb::bson::serialize_to_vec(&user)?;
    let length = i32::try_from(21 + body.len())?;
    // The fields are length, request id, id of the request that it answers, OP_MSG, no flags, and
    // one section of the first kind.
    let mut message: Vec<u8> =
        [length, 1, 0, 2013, 0].iter().flat_map(|number| number.to_le_bytes()).collect();
    message.push(0);
    message.extend(body);
    let bytes: String = message.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let script =
        format!("exec 3<>/dev/tcp/127.0.0.1/27017; printf '{bytes}' >&3; head -c 16 <&3 | wc -c");
    endpoint.server()?.run(&["bash", "-c", &script]).await?;
    Ok(())
}

/// Makes each call once.
async fn use_all(client: &Client, job: &str) -> CaseResult {
    let (name, other) = (LockName::new(job)?, LockName::new(format!("{job}, another"))?);
    let mut hints = client.watch().await?;
    let (taken, another) =
        (client.acquire_free(&name, TTL).await?, client.acquire_free(&other, TTL).await?);
    held(client.acquire(&name, LeaseId::new(), TTL).await?);
    extended(client.renew(&name, taken.lease, TTL).await?);
    let batch = [&taken, &another]
        .map(|taken| leasehold_core::RenewOptions::new(taken.name.clone(), taken.lease, TTL));
    client.store().renew(&batch).await?.into_iter().for_each(|outcome| _ = extended(outcome));
    client.release_held(&taken).await?;
    let hint = timeout(LIMIT, hints.next()).await?;
    assert!(hint.is_some(), "the watch ended");
    client.disable(&name, "upkeep").await?;
    refused(client.acquire(&name, LeaseId::new(), TTL).await?);
    client.enable(&name).await?;
    assert_eq!(client.names(job).await?.len(), 2);
    let here = presence();
    client.store().announce(&here, TTL).await?;
    client.store().announce(&here, TTL).await?;
    assert_eq!(client.store().instances().await?.len(), 1);
    client.store().withdraw(here.holder.instance).await?;
    assert_eq!(client.store().instances().await?, []);
    Ok(())
}

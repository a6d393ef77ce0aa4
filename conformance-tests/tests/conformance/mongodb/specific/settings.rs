//! These cases cover servers and clients with other settings.

use std::sync::Arc;

use futures_util::StreamExt;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::expect::{extended, refused};
use leasehold_conformance::{Backend, CaseResult, Client};
use leasehold_core::{DisableOptions, Hint, LeaseId, LockName, Reason, Wake};
use mongodb::bson::doc;
use mongodb::options::{
    Acknowledgment, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use tokio::time::timeout;

use super::support::{LIMIT, TTL, new_locks, new_namespace, open};
use crate::mongodb::backend::{MongoDb, options};
use crate::mongodb::endpoint::{Endpoint, STANDALONE};
use crate::mongodb::probes::application;

pub(super) async fn a_standalone_server_is_polled(_: Arc<MongoDb>) -> CaseResult {
    let endpoint = Endpoint::start(&STANDALONE).await?;
    let namespace = new_namespace()?;
    let (holder, waiter) = (open(&endpoint, &namespace).await?, open(&endpoint, &namespace).await?);
    assert!(matches!(waiter.capabilities().wake, Wake::Poll(_)), "{:?}", waiter.capabilities());
    let (job, beating) = (LockName::new("job")?, LockName::new("beating")?);
    let (taken, other) =
        (holder.acquire_free(&job, TTL).await?, holder.acquire_free(&beating, TTL).await?);
    let mut hints = waiter.watch().await?;
    for _ in 0..5 {
        extended(holder.renew(&beating, other.lease, TTL).await?);
    }
    holder.release_held(&taken).await?;
    assert_eq!(timeout(LIMIT, hints.next()).await?, Some(Hint::Name(job.clone())));
    holder.disable(&job, "upkeep").await?;
    assert_eq!(timeout(LIMIT, hints.next()).await?, Some(Hint::Name(job.clone())));
    refused(waiter.acquire(&job, LeaseId::new(), TTL).await?);
    holder.enable(&job).await?;
    assert_eq!(timeout(LIMIT, hints.next()).await?, Some(Hint::Name(job.clone())));
    assert!(waiter.acquire_free(&job, TTL).await?.token > taken.token);
    Ok(())
}

/// The concerns that an application chose for its own data must not weaken its locks.
pub(super) async fn read_and_write_concerns_of_the_application_are_not_used(
    this: Arc<MongoDb>,
) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let database = application(endpoint.url(), |options| {
        options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Nodes(0)).build());
        options.read_concern = Some(ReadConcern::available());
        let secondary = ReadPreference::Secondary { options: None };
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(secondary));
        options.retry_writes = Some(false);
    });
    let store = MongoStore::from_database(database.await?, &options(&namespace)).await?;
    let client = Client::new(Arc::new(store));
    let name = LockName::new("job")?;
    let taken = client.acquire_free(&name, TTL).await?;
    extended(client.renew(&name, taken.lease, TTL).await?);
    assert_eq!(client.holder_of(&name).await?, Some(taken.lease));
    client.release_held(&taken).await?;
    Ok(this.clean(&namespace).await?)
}

/// A pipeline would evaluate these values, and a filter would compare with them.
pub(super) async fn values_are_not_evaluated_as_expressions(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    for text in ["$$NOW", "$$ROOT", "$_id", "$token", "$a.b", "{\"$gt\": \"\"}", "a.$[].b"] {
        let name = LockName::new(text)?;
        let mut request = client.options(LeaseId::new(), TTL);
        request.holder = request.holder.with_label(text);
        client.store().acquire(&name, &request).await?;
        let by = Some(text.to_owned());
        let disable = DisableOptions::new(Reason::new(text)?).with_by(by);
        client.store().disable(&name, &disable).await?;
        let record = client.get(&name).await?.expect("it is on record");
        let lease = record.lease.expect("the lease is in force");
        assert_eq!((lease.id, &lease.holder), (request.lease, &request.holder));
        assert_eq!(lease.ending.as_ref().map(Reason::as_str), Some(text));
        let disabled = record.disabled.expect("it is disabled");
        assert_eq!((disabled.reason.as_str(), disabled.by.as_deref()), (text, Some(text)));
        assert_eq!(client.names(text).await?, [name]);
    }
    assert_eq!(locks.count_documents(doc! {}).await?, 7);
    Ok(this.clean(&namespace).await?)
}

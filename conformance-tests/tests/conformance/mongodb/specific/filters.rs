//! These cases cover the commands that the store sends, and how the server finds the documents.

use std::sync::Arc;

use leasehold::mongodb::MongoStore;
use leasehold_conformance::expect::extended;
use leasehold_conformance::{Backend, CaseResult, Client};
use leasehold_core::{
    EnableOutcome, LeaseId, LockName, LockStoreExt, ReleaseOutcome, RenewOptions, RenewOutcome,
};
use mongodb::bson::{Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use parking_lot::Mutex;

use super::support::{TTL, new_namespace};
use crate::mongodb::backend::{MongoDb, options};
use crate::mongodb::probes::application;

const LEASES: usize = 5;

/// The commands that were sent, each with its filters.
type Commands = Arc<Mutex<Vec<(String, Vec<Document>)>>>;

fn filters(command: &Document) -> Vec<Document> {
    let updates = command.get_array("updates").map(Vec::as_slice).unwrap_or_default();
    let updates = updates.iter().filter_map(|update| update.as_document()?.get_document("q").ok());
    command.get_document("query").into_iter().chain(updates).cloned().collect()
}

fn by(name: &LockName) -> Document {
    doc! { "_id": name.as_str() }
}

/// A server may read the whole collection for a filter with an expression. So the filter of each
/// command that acquires, renews, releases or enables is the name alone, and each is one command.
pub(super) async fn documents_are_found_by_their_names_alone(this: Arc<MongoDb>) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let commands = Commands::default();
    let sent = Arc::clone(&commands);
    let handler = EventHandler::callback(move |event: CommandEvent| {
        if let CommandEvent::Started(event) = event {
            sent.lock().push((event.command_name, filters(&event.command)));
        }
    });
    let set = |options: &mut mongodb::options::ClientOptions| {
        options.command_event_handler = Some(handler);
    };
    let database = application(endpoint.url(), set).await?;
    let store = MongoStore::from_database(database, &options(&namespace)).await?;
    let client = Client::new(Arc::new(store));
    let take = || std::mem::take(&mut *commands.lock());
    take();
    let one = |name: &LockName| vec![("findAndModify".to_owned(), vec![by(name)])];

    let mut leases = Vec::new();
    for number in 0..LEASES {
        let taken = client.acquire_free(&LockName::new(format!("job {number}"))?, TTL).await?;
        assert_eq!(take(), one(&taken.name));
        leases.push(RenewOptions::new(taken.name, taken.lease, TTL));
    }
    let first = leases[0].clone();
    extended(client.store().renew_one(&first.name, first.lease, TTL).await?);
    assert_eq!(take(), one(&first.name));
    let lost = client.store().renew_one(&first.name, LeaseId::new(), TTL).await?;
    assert_eq!(lost, RenewOutcome::Lost);
    assert_eq!(take(), one(&first.name));

    client.store().renew(&leases).await?.into_iter().for_each(|outcome| _ = extended(outcome));
    let all: Vec<_> = leases.iter().map(|lease| by(&lease.name)).collect();
    assert_eq!(take(), [("update".to_owned(), all)]);
    // If a lease of the batch is lost, the documents are read, since the reply does not say which.
    let mut batch = leases.clone();
    batch[1].lease = LeaseId::new();
    let outcomes = client.store().renew(&batch).await?;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match number {
            1 => assert_eq!(outcome, RenewOutcome::Lost),
            _ => _ = extended(outcome),
        }
    }
    let names: Vec<_> = take().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["update", "aggregate"]);

    for expected in [ReleaseOutcome::Released, ReleaseOutcome::NotHeld] {
        assert_eq!(client.store().release(&first.name, first.lease).await?, expected);
        assert_eq!(take(), one(&first.name));
    }
    client.disable(&first.name, "upkeep").await?;
    take();
    for expected in [EnableOutcome::Enabled, EnableOutcome::AlreadyEnabled] {
        assert_eq!(client.store().enable(&first.name).await?, expected);
        assert_eq!(take(), one(&first.name));
    }
    Ok(this.clean(&namespace).await?)
}

//! The ledger in MongoDB is a collection.

use std::time::Duration;

use leasehold_fence::mongodb::MongoFence;
use leasehold_fence::{Namespace, Result, Term};
use mongodb::bson::{Document, doc};
use mongodb::{Client, ClientSession, Collection, Database};
use tokio::time::sleep;

use super::{Data, Entry, SLOW, failed};

pub(crate) struct MongoDb {
    database: Database,
    ledger: Collection<Document>,
    namespace: Namespace,
}

fn entry_document(term: &Term, entry: &Entry) -> Document {
    doc! { "_id": entry.sequence, "term": i64::from(term.token()) }
}

impl MongoDb {
    fn fence(&self, term: &Term) -> MongoFence {
        MongoFence::new(&self.database, &self.namespace, term)
    }

    async fn write_in_transaction(
        &self,
        session: &mut ClientSession,
        term: &Term,
        entry: &Entry,
    ) -> Result<()> {
        let fence = self.fence(term);
        fence.check(session).await?;
        sleep(if entry.slow { SLOW } else { entry.pause }).await;
        let inserted =
            self.ledger.insert_one(entry_document(term, entry)).session(&mut *session).await;
        inserted.map_err(|cause| fence.error(cause))?;
        session.commit_transaction().await.map_err(|cause| fence.error(cause))
    }
}

impl Data for MongoDb {
    async fn open(url: &str, namespace: &Namespace) -> Result<Self, String> {
        let client = Client::with_uri_str(url).await.map_err(|error| error.to_string())?;
        let database = client.default_database().ok_or("the URL has no database")?;
        let ledger = database.collection::<Document>(&format!("{namespace}_ledger"));
        // A new replica set has no primary yet, and writes nothing.
        let ready = ledger.insert_one(doc! { "term": 0_i64 }).await;
        ready.map_err(|error| error.to_string())?;
        Ok(Self { database, ledger, namespace: namespace.clone() })
    }

    async fn raise(&mut self, term: &Term, limit: Duration) -> Result<()> {
        self.fence(term).raise(limit).await
    }

    /// The server would end the transaction of a killed process only after a minute, and the stand-in
    /// does not let `transactionLifetimeLimitSeconds` be changed. When this is called, only older
    /// terms have open transactions.
    async fn end_transactions(&mut self) {
        let admin = self.database.client().database("admin");
        if let Err(error) = admin.run_command(doc! { "killAllSessions": [] }).await {
            eprintln!("mongodb: the transactions of killed processes end by themselves: {error}");
        }
    }

    async fn write(&mut self, term: &Term, entry: &Entry) -> Result<()> {
        let mut session = self.database.client().start_session().await.map_err(failed)?;
        session.start_transaction().await.map_err(failed)?;
        let written = self.write_in_transaction(&mut session, term, entry).await;
        if written.is_err() {
            _ = session.abort_transaction().await;
        }
        written
    }

    async fn entries(&mut self, term: u64) -> u64 {
        let filter = doc! { "term": i64::try_from(term).unwrap() };
        self.ledger.count_documents(filter).await.unwrap()
    }

    async fn remove(self, _: u64) {
        for collection in ["ledger", "fence", "fence_intent"] {
            let name = format!("{}_{collection}", self.namespace);
            self.database.collection::<Document>(&name).drop().await.unwrap();
        }
    }
}

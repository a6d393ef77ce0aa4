//! The ledger in MongoDB is a collection, or, on a server without transactions, one document that
//! counts the entries of each term.

use std::time::Duration;

use leasehold_fence::mongodb::MongoFence;
use leasehold_fence::{Error, FencingToken, LockName, Namespace, Result, Stale, Term};
use mongodb::bson::{Document, doc};
use mongodb::{Client, ClientSession, Collection, Database};
use tokio::time::sleep;

use super::{Data, Entry, SLOW, failed};

const LONG: Duration = Duration::from_secs(60);

pub(crate) struct MongoDb {
    database: Database,
    ledger: Collection<Document>,
    namespace: Namespace,
    has_transactions: bool,
}

/// Returns the field of the single document that counts the entries of a term.
fn field(term: u64) -> String {
    format!("term_{term}")
}

fn entry_document(term: &Term, entry: &Entry) -> Document {
    doc! { "_id": entry.sequence, "term": i64::from(term.token()) }
}

/// Returns whether the server has transactions, which MongoDB's stand-in has not.
async fn has_transactions(database: &Database, namespace: &Namespace) -> Result<bool, String> {
    let name = LockName::new(format!("probe {}", std::process::id())).unwrap();
    let fence =
        MongoFence::new(database, namespace, &Term::new(&name, FencingToken::new(1).unwrap()));
    fence.raise(LONG).await.map_err(|error| error.to_string())?;
    let session = database.client().start_session().await;
    let mut session = session.map_err(|error| error.to_string())?;
    session.start_transaction().await.map_err(|error| error.to_string())?;
    let checked = fence.check(&mut session).await;
    _ = session.abort_transaction().await;
    match checked {
        Ok(()) => Ok(true),
        Err(Error::Datastore(_)) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
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

    /// Writes to the single document, without a transaction.
    async fn count(&self, term: &Term) -> Result<()> {
        let fence = self.fence(term);
        let token = term.token();
        let update = fence.update(doc! { "$inc": { field(token.get()): 1_i64 } });
        let filter = fence.filter(doc! { "_id": "ledger" });
        let written = self.ledger.update_one(filter, update).await;
        match written.map_err(|cause| fence.error(cause))?.matched_count {
            0 => Err(Error::Stale(Stale::new(term.name(), token, None))),
            _ => Ok(()),
        }
    }
}

impl Data for MongoDb {
    async fn open(url: &str, namespace: &Namespace) -> Result<Self, String> {
        let client = Client::with_uri_str(url).await.map_err(|error| error.to_string())?;
        let database = client.default_database().ok_or("the URL has no database")?;
        let has_transactions = has_transactions(&database, namespace).await?;
        let ledger = database.collection::<Document>(&format!("{namespace}_ledger"));
        if !has_transactions {
            let create = doc! { "$setOnInsert": { "created": true } };
            let created = ledger.update_one(doc! { "_id": "ledger" }, create).upsert(true).await;
            created.map_err(|error| error.to_string())?;
        }
        Ok(Self { database, ledger, namespace: namespace.clone(), has_transactions })
    }

    /// In a single document the first write of a term refuses those of older ones.
    async fn raise(&mut self, term: &Term, limit: Duration) -> Result<()> {
        if self.has_transactions {
            self.fence(term).raise(limit).await
        } else {
            self.count(term).await
        }
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
        if !self.has_transactions {
            sleep(if entry.slow { SLOW } else { entry.pause }).await;
            return self.count(term).await;
        }
        let mut session = self.database.client().start_session().await.map_err(failed)?;
        session.start_transaction().await.map_err(failed)?;
        let written = self.write_in_transaction(&mut session, term, entry).await;
        if written.is_err() {
            _ = session.abort_transaction().await;
        }
        written
    }

    async fn entries(&mut self, term: u64) -> u64 {
        if self.has_transactions {
            let filter = doc! { "term": i64::try_from(term).unwrap() };
            return self.ledger.count_documents(filter).await.unwrap();
        }
        let ledger = self.ledger.find_one(doc! { "_id": "ledger" }).await.unwrap().unwrap();
        ledger.get_i64(field(term)).map_or(0, |count| count.try_into().unwrap())
    }

    async fn remove(self, _: u64) {
        for collection in ["ledger", "fence", "fence_intent"] {
            let name = format!("{}_{collection}", self.namespace);
            self.database.collection::<Document>(&name).drop().await.unwrap();
        }
    }
}

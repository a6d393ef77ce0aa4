//! MongoDB, in a container or given by `LEASEHOLD_TEST_MONGODB_URL`.

mod own;
mod place;
mod probes;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use ::mongodb::Database;
use ::mongodb::bson::doc;
use async_trait::async_trait;
use leasehold::OpenOptions;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::servers::catalog::MONGODB;
use leasehold_conformance::{Backend, OwnCase, Probes};
use leasehold_core::{Error, ErrorKind, LockStore, Namespace, Result};
use tokio::sync::Mutex as AsyncMutex;

use place::Place;

/// A server of one member, which has change streams.
#[derive(Default)]
pub(crate) struct MongoDb {
    place: AsyncMutex<Option<Arc<Place>>>,
    commands: Mutex<HashMap<Namespace, Arc<AtomicU64>>>,
}

/// What is particular to MongoDB.
pub(crate) const CASES: &[OwnCase<MongoDb>] = own::CASES;

fn broken(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, "the test's own work failed").with_source(source)
}

fn options(namespace: &Namespace) -> OpenOptions {
    OpenOptions { namespace: namespace.clone(), ..OpenOptions::default() }
}

impl MongoDb {
    async fn place(&self) -> Result<Arc<Place>> {
        let place = self.place.lock().await;
        place.clone().ok_or_else(|| Error::invalid("the suite starts a backend before it uses it"))
    }

    async fn database(&self) -> Result<Database> {
        Ok(self.place().await?.database().clone())
    }

    fn commands(&self, namespace: &Namespace) -> Arc<AtomicU64> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.entry(namespace.clone()).or_default().clone()
    }
}

#[async_trait]
impl Backend for MongoDb {
    fn name(&self) -> &str {
        "mongodb"
    }

    async fn start(&self) -> Result<()> {
        let mut place = self.place.lock().await;
        if place.is_none() {
            *place = Some(Arc::new(Place::shared().await?));
        }
        Ok(())
    }

    async fn stop(&self) {
        self.place.lock().await.take();
    }

    async fn server(&self) -> Result<Option<String>> {
        let place = self.place.lock().await.clone();
        let Some(place) = place else { return Ok(None) };
        place.version().await.map(Some)
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let place = self.place().await?;
        Ok(Arc::new(MongoStore::connect(place.url(), &options(namespace)).await?))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        for collection in ["locks", "instances"] {
            let drop = doc! { "drop": format!("{namespace}_{collection}") };
            match self.database().await?.run_command(drop).await {
                Ok(_) => {}
                // There is no such collection.
                Err(cause) if matches!(&*cause.kind, mongodb::error::ErrorKind::Command(e) if e.code == 26) =>
                    {}
                Err(cause) => return Err(broken(cause)),
            }
        }
        Ok(())
    }

    fn probes(&self) -> Probes<'_> {
        Probes {
            other_processes: Some(self),
            delete_record: Some(self),
            round_trips: Some(self),
            own_pool: Some(self),
            outages: Some(self),
            own_server: MONGODB.given_url().is_none().then_some(self as _),
            ..Probes::default()
        }
    }
}

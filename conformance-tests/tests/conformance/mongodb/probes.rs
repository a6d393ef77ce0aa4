//! This module has the probes of MongoDB, which some cases need beyond the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::{
    Backend, DeleteRecord, DisposableServer, Link, OtherProcesses, Outages, OwnPool, OwnServer,
    Pooled, RoundTrips,
};
use leasehold_core::{Error, LockName, LockStore, Namespace, Result};
use leasehold_test_servers::Proxy;
use leasehold_test_servers::catalog::MONGODB;
use mongodb::bson::{Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};

use super::backend::{MongoDb, options};
use super::endpoint::Endpoint;
use crate::broken::broken;
use crate::proxied_link::ProxiedLink;
use crate::server_container::ServerContainer;

/// Returns a client as an application has one.
pub(super) async fn application(
    url: &str,
    set: impl FnOnce(&mut ClientOptions),
) -> Result<Database> {
    let mut options = ClientOptions::parse(url).await.map_err(broken)?;
    set(&mut options);
    let client = Client::with_options(options).map_err(broken)?;
    client.default_database().ok_or_else(|| Error::invalid("the URL names no database"))
}

#[async_trait]
impl OtherProcesses for MongoDb {
    fn address(&self) -> String {
        let endpoint = self.endpoint.lock().clone();
        endpoint.map(|endpoint| endpoint.url().to_owned()).unwrap_or_default()
    }

    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>> {
        let endpoint = Some(Arc::new(Endpoint::at(address.to_owned()).await?)).into();
        Ok(Arc::new(Self { endpoint, ..Self::default() }))
    }
}

#[async_trait]
impl DeleteRecord for MongoDb {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        let locks = self.database().await?.collection::<Document>(&format!("{namespace}_locks"));
        locks.delete_one(doc! { "_id": name.as_str() }).await.map_err(broken)?;
        Ok(())
    }
}

/// Each command on the collection counts as a round trip.
#[async_trait]
impl RoundTrips for MongoDb {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let (count, collection) = (self.commands(namespace), format!("{namespace}_locks"));
        let counting = EventHandler::callback(move |event: CommandEvent| {
            if let CommandEvent::Started(event) = event {
                let of = |key: &str| event.command.get_str(key).ok();
                if [of(&event.command_name), of("collection")].contains(&Some(&*collection)) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let endpoint = self.endpoint().await?;
        let set = |options: &mut ClientOptions| options.command_event_handler = Some(counting);
        let database = application(endpoint.url(), set).await?;
        Ok(Arc::new(MongoStore::from_database(database, &options(namespace)).await?))
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        Ok(self.commands(namespace).load(Ordering::SeqCst))
    }

    fn acquire_budget(&self) -> u64 {
        1
    }
}

#[async_trait]
impl OwnPool for MongoDb {
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled> {
        let endpoint = self.endpoint().await?;
        let database =
            application(endpoint.url(), |options| options.max_pool_size = Some(2)).await?;
        let store = MongoStore::from_database(database.clone(), &options(namespace)).await?;
        let use_pool = move || {
            let database = database.clone();
            let using = async move {
                let data = database.collection::<Document>("of_the_application");
                data.find_one(doc! {}).await.map_err(broken)?;
                Ok(())
            };
            Box::pin(using) as BoxFuture<'static, Result<()>>
        };
        Ok(Pooled::new(Arc::new(store), Box::new(use_pool)))
    }
}

#[async_trait]
impl Outages for MongoDb {
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>> {
        let endpoint = self.endpoint().await?;
        let proxy = Proxy::start(endpoint.address()).await.map_err(broken)?;
        let url = endpoint.url_by(&proxy.address());
        let store = Arc::new(MongoStore::connect(&url, &options(namespace)).await?);
        Ok(Arc::new(ProxiedLink { store, proxy }))
    }
}

#[async_trait]
impl OwnServer for MongoDb {
    async fn start_server(&self) -> Result<Box<dyn DisposableServer>> {
        Ok(Box::new(ServerContainer::start(&MONGODB, &[]).await?))
    }
}

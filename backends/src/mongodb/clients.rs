//! The driver's clients of one store: one for each runtime that calls it.
//!
//! The driver serves its connections by tasks of the runtime in which the client was created, so a
//! call from another runtime would wait while the threads of the first compute or block. Heartbeats
//! come from a separate runtime.
//!
//! If a command is unanswered for some time, the next one is sent by a new client, whose
//! connections are new: the network may have dropped the old ones silently. If the old client gets
//! an answer after all, it is used again.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::Document;
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::{self, Handle};
use tokio::time::Instant;

use super::permits::{Permits, Sizes};
use super::{collection, error_codes};
use crate::Result;

/// The client of a runtime that did not call the store for this long is closed by a call from
/// another runtime.
const UNUSED_LIMIT: Duration = Duration::from_secs(60);

/// A command may be unanswered for this long before the next one is sent by a new client.
const SILENCE: Duration = Duration::from_secs(1);

/// This limit grows up to the following one if answers take long, so that a slow server is not
/// mistaken for a dead connection.
const MAX_SILENCE: Duration = Duration::from_secs(8);

/// The names of the two collections of a store.
#[derive(Clone, Debug)]
pub(super) struct CollectionNames {
    pub(super) locks: String,
    pub(super) instances: String,
}

/// The parts of a client that the store uses.
#[derive(Debug)]
pub(super) struct Handles {
    pub(super) database: Database,
    /// The collections have their own read and write concerns. The application chose those of its
    /// client for its own data.
    pub(super) locks: Collection<Document>,
    pub(super) instances: Collection<Document>,
    /// The permits of the runtime. They are not shared with other runtimes, which may be blocked.
    pub(super) permits: Arc<Permits>,
}

impl Handles {
    fn new(database: Database, names: &CollectionNames, permits: Arc<Permits>) -> Self {
        let locks = collection::handle(&database, &names.locks);
        let instances = collection::handle(&database, &names.instances);
        Self { database, locks, instances, permits }
    }
}

/// The clients of one store.
#[derive(Debug)]
pub(super) struct Clients {
    names: CollectionNames,
    source: ClientSource,
}

#[derive(Debug)]
enum ClientSource {
    /// The application's client serves all runtimes.
    Application(Arc<Handles>),
    Own {
        options: Box<ClientOptions>,
        sizes: Sizes,
        database: String,
        runtime_clients: Mutex<Vec<RuntimeClient>>,
    },
}

/// The client of one runtime.
#[derive(Debug)]
struct RuntimeClient {
    of: Option<runtime::Id>,
    handles: Arc<Handles>,
    used: Instant,
    /// The last time when an answer came.
    answered: Option<Instant>,
    silence: Duration,
    /// This is true if a command of this client is unanswered for too long.
    is_suspect: bool,
}

/// Returns the runtime of the caller, if there is one.
fn here() -> Option<runtime::Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

impl Clients {
    /// Wraps a database of the application's client.
    pub(super) fn of_application(database: Database, names: CollectionNames) -> Self {
        let permits = Arc::new(Permits::new(Sizes::DEFAULT));
        let source = ClientSource::Application(Arc::new(Handles::new(database, &names, permits)));
        Self { names, source }
    }

    /// Keeps the options with which clients are created when they are needed.
    pub(super) fn new(
        options: ClientOptions,
        sizes: Sizes,
        database: String,
        names: CollectionNames,
    ) -> Self {
        let (options, runtime_clients) = (Box::new(options), Mutex::default());
        Self { names, source: ClientSource::Own { options, sizes, database, runtime_clients } }
    }

    pub(super) fn names(&self) -> &CollectionNames {
        &self.names
    }

    /// Returns the client for a call from this runtime.
    pub(super) fn handles(&self) -> Result<Arc<Handles>> {
        let (options, sizes, database, runtime_clients) = match &self.source {
            ClientSource::Application(handles) => return Ok(Arc::clone(handles)),
            ClientSource::Own { options, sizes, database, runtime_clients } => {
                (options, *sizes, database, runtime_clients)
            }
        };
        let of = here();
        let mut runtime_clients = lock(runtime_clients);
        let unused: Vec<_> = runtime_clients
            .extract_if(.., |it| it.of != of && it.used.elapsed() >= UNUSED_LIMIT)
            .collect();
        let found = runtime_clients.iter_mut().find(|it| it.of == of);
        let create = |permits| -> Result<Arc<Handles>> {
            let client = Client::with_options((**options).clone()).map_err(error_codes::reading)?;
            Ok(Arc::new(Handles::new(client.database(database), &self.names, permits)))
        };
        let (handles, replaced) = match found {
            Some(runtime_client) if runtime_client.is_suspect => {
                let next = create(Arc::clone(&runtime_client.handles.permits))?;
                let before = std::mem::replace(&mut runtime_client.handles, next);
                (runtime_client.is_suspect, runtime_client.used) = (false, Instant::now());
                (Arc::clone(&runtime_client.handles), Some(before))
            }
            Some(runtime_client) => {
                runtime_client.used = Instant::now();
                (Arc::clone(&runtime_client.handles), None)
            }
            None => {
                let handles = create(Arc::new(Permits::new(sizes)))?;
                runtime_clients.push(RuntimeClient {
                    of,
                    handles: Arc::clone(&handles),
                    used: Instant::now(),
                    answered: None,
                    silence: SILENCE,
                    is_suspect: false,
                });
                (handles, None)
            }
        };
        drop(runtime_clients);
        // Their connections are closed outside of the lock.
        drop((unused, replaced));
        Ok(handles)
    }

    /// Returns how long a command of this client may be unanswered.
    pub(super) fn silence(&self, handles: &Arc<Handles>) -> Duration {
        self.client_for(handles, |runtime_client| runtime_client.silence).unwrap_or(SILENCE)
    }

    /// Notes that a command of this client, which was sent at `begun`, is unanswered for too long.
    /// Returns whether the next command is sent by a new client: not if another command was
    /// answered since then, nor if it is the application's client.
    pub(super) fn mark_suspect(&self, handles: &Arc<Handles>, begun: Instant) -> bool {
        let suspect = |runtime_client: &mut RuntimeClient| {
            if runtime_client.answered.is_some_and(|answered| answered >= begun) {
                return false;
            }
            if !runtime_client.is_suspect {
                runtime_client.is_suspect = true;
                runtime_client.silence = (runtime_client.silence * 2).min(MAX_SILENCE);
            }
            true
        };
        self.client_for(handles, suspect).unwrap_or(false)
    }

    /// Notes that the server answered this client, and how long that took.
    pub(super) fn record_reply(&self, handles: &Arc<Handles>, after: Duration) {
        let ClientSource::Own { runtime_clients, .. } = &self.source else { return };
        let of = here();
        let replaced = {
            let mut runtime_clients = lock(runtime_clients);
            let Some(runtime_client) = runtime_clients.iter_mut().find(|it| it.of == of) else {
                return;
            };
            // It decreases slowly: commands take different times, since a write waits for a
            // majority.
            let slowly = runtime_client.silence - runtime_client.silence / 16;
            runtime_client.silence = (after * 2).max(slowly).clamp(SILENCE, MAX_SILENCE);
            runtime_client.answered = Some(Instant::now());
            runtime_client.is_suspect = false;
            std::mem::replace(&mut runtime_client.handles, Arc::clone(handles))
        };
        drop(replaced);
    }

    /// Applies `with` to the entry of the runtime that uses this client, if there still is one.
    fn client_for<T>(
        &self,
        handles: &Arc<Handles>,
        with: impl FnOnce(&mut RuntimeClient) -> T,
    ) -> Option<T> {
        let ClientSource::Own { runtime_clients, .. } = &self.source else { return None };
        let mut runtime_clients = lock(runtime_clients);
        runtime_clients.iter_mut().find(|it| Arc::ptr_eq(&it.handles, handles)).map(with)
    }
}

fn lock(runtime_clients: &Mutex<Vec<RuntimeClient>>) -> MutexGuard<'_, Vec<RuntimeClient>> {
    runtime_clients.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn clients() -> Clients {
        // No server listens on this port, and nothing is sent.
        let options = ClientOptions::parse("mongodb://127.0.0.1:1/app").await.unwrap();
        let names =
            CollectionNames { locks: "locks".to_owned(), instances: "instances".to_owned() };
        Clients::new(options, Sizes::DEFAULT, "app".to_owned(), names)
    }

    fn is_same(one: &Arc<Handles>, other: &Arc<Handles>) -> bool {
        Arc::ptr_eq(one, other)
    }

    #[tokio::test]
    async fn each_runtime_has_its_own_client() {
        let clients = Arc::new(clients().await);
        let first = clients.handles().unwrap();
        assert!(is_same(&first, &clients.handles().unwrap()));
        let shared = Arc::clone(&clients);
        let other = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { shared.handles().unwrap() })
        });
        let other = other.join().unwrap();
        assert!(!is_same(&first, &other));
        assert!(!Arc::ptr_eq(&first.permits, &other.permits));
        assert!(is_same(&first, &clients.handles().unwrap()));
    }

    #[tokio::test]
    async fn a_silent_client_is_replaced() {
        let clients = clients().await;
        let first = clients.handles().unwrap();
        assert_eq!(clients.silence(&first), SILENCE);
        let begun = Instant::now();
        assert!(clients.mark_suspect(&first, begun) && clients.mark_suspect(&first, begun));
        assert_eq!(clients.silence(&first), SILENCE * 2);
        let second = clients.handles().unwrap();
        assert!(!is_same(&first, &second));
        assert!(Arc::ptr_eq(&first.permits, &second.permits));
        assert!(!clients.mark_suspect(&first, begun));
        assert!(is_same(&second, &clients.handles().unwrap()), "the first is no longer used");
        clients.record_reply(&first, Duration::from_millis(1_600));
        assert!(is_same(&first, &clients.handles().unwrap()), "the first answered after all");
        assert_eq!(clients.silence(&first), Duration::from_millis(3_200));
        assert!(!clients.mark_suspect(&first, begun), "it has answered since");
        clients.record_reply(&first, Duration::from_millis(1));
        assert_eq!(clients.silence(&first), Duration::from_millis(3_000));
    }
}

use std::time::Duration;

use etcd_client::{ResponseHeader, TxnResponse};

use super::super::fake_etcd::FakeEtcd;
use super::super::times_left::TimesLeft;
use super::super::{stored_lock, transaction};
use super::*;
use crate::{
    AcquireOptions, AcquireOutcome, DisableOptions, Holder, LeaseId, LockKind, LockRecord,
    Namespace, Reason,
};

const TTL: Duration = Duration::from_secs(10);

/// A name in an etcd.
struct Server {
    etcd: FakeEtcd,
    keys: Keys,
    name: LockName,
    /// The etcd lease of the next entry.
    next_lease: i64,
}

/// What an attempt has read: the state and its revision.
type Seen = (StoredLock, i64);

fn revision(response: &TxnResponse) -> i64 {
    response.header().map_or(0, ResponseHeader::revision)
}

fn attempt(kind: LockKind) -> EnterOptions {
    EnterOptions::new(LeaseId::new(), Holder::current(), TTL, kind)
}

fn semaphore(permits: u32) -> LockKind {
    LockKind::semaphore(permits).unwrap()
}

impl Server {
    fn new() -> Self {
        let (keys, name) = (Keys::new("", &Namespace::default()), LockName::new("job").unwrap());
        Self { etcd: FakeEtcd::default(), keys, name, next_lease: 1 }
    }

    fn run(&mut self, txn: impl FnOnce(&Keys, &LockName) -> Txn) -> TxnResponse {
        let txn = txn(&self.keys, &self.name);
        self.etcd.run(txn)
    }

    fn see(&mut self) -> Seen {
        let found = self.run(transaction::read);
        let stored = stored_lock::readable(&self.keys, &found, &self.name).unwrap();
        (stored, revision(&found))
    }

    fn record(&mut self) -> LockRecord {
        let (stored, _) = self.see();
        stored.into_record(&self.keys, self.name.clone(), None, &TimesLeft::default()).unwrap()
    }

    /// Makes the second step of an attempt that has read this. Returns the revision and the etcd
    /// lease of the entry; `None` if there is none.
    fn enter_after(&mut self, (stored, at): &Seen, options: &EnterOptions) -> Option<(i64, i64)> {
        self.next_lease += 1;
        let lease = self.next_lease;
        let done = self.run(|keys, name| enter(keys, name, options, (stored, *at), lease));
        done.succeeded().then(|| (revision(&done), lease))
    }

    fn enter(&mut self, options: &EnterOptions) -> Option<(i64, i64)> {
        let seen = self.see();
        self.enter_after(&seen, options)
    }

    fn leave(&mut self, lease: LeaseId) -> bool {
        let done = self.run(|keys, name| transaction::remove(&keys.entry(name, lease)));
        transaction::first_key(&done).is_some()
    }

    fn acquire(&mut self) -> bool {
        let options = AcquireOptions::new(LeaseId::new(), Holder::current(), TTL);
        self.run(|keys, name| transaction::grant(keys, name, &options, 1)).succeeded()
    }

    fn disable(&mut self, reason: &str) {
        let options = DisableOptions::new(Reason::new(reason).unwrap());
        assert!(
            self.run(|keys, name| transaction::disable(keys, name, &options, None)).succeeded()
        );
    }

    fn enable(&mut self) {
        assert!(self.run(transaction::enable).succeeded());
    }

    /// Returns why each entry has to leave.
    fn endings(&mut self) -> Vec<Option<String>> {
        let entries = self.record().queue.map(|queue| queue.entries).unwrap_or_default();
        let ending = |reason: Reason| reason.as_str().to_owned();
        entries.into_iter().map(|entry| entry.ending.map(ending)).collect()
    }
}

#[test]
fn the_revision_of_an_entry_is_its_token_and_that_of_the_name() {
    let mut server = Server::new();
    let [first, second] = [attempt(LockKind::Fair), attempt(LockKind::Fair)];
    let (token, _) = server.enter(&first).unwrap();
    let (next, _) = server.enter(&second).unwrap();
    assert!(next > token);
    let record = server.record();
    let queue = record.queue.as_ref().unwrap();
    let tokens: Vec<_> = queue.entries.iter().map(|entry| u64::from(entry.token)).collect();
    assert_eq!(tokens, [token, next].map(|token| u64::try_from(token).unwrap()));
    assert_eq!((record.kind, queue.holding), (LockKind::Fair, 1));
    assert_eq!(record.token, queue.entries.last().map(|entry| entry.token));
    let outcome = record.enter_outcome(&first).unwrap();
    assert!(matches!(outcome, Some(AcquireOutcome::Granted(_))), "{outcome:?}");
    assert!(server.leave(first.lease) && !server.leave(first.lease));
    assert!(server.leave(second.lease));
    // The token stays when the queue is empty.
    assert_eq!((server.record().queue, server.record().token), (None, record.token));
}

#[test]
fn an_exclusive_lease_and_a_queue_refuse_each_other() {
    let mut server = Server::new();
    let seen = server.see();
    let first = attempt(LockKind::Fair);
    let (_, lease) = server.enter(&first).unwrap();
    assert!(!server.acquire());
    server.etcd.expire(lease);
    assert!(server.acquire());
    // The attempts read while the name was free.
    assert_eq!(server.enter_after(&seen, &attempt(LockKind::Fair)), None);
    assert_eq!(server.enter(&attempt(LockKind::Fair)), None);
}

#[test]
fn a_queue_has_entries_of_one_kind() {
    let mut server = Server::new();
    let free = server.see();
    let first = attempt(LockKind::Fair);
    server.enter(&first).unwrap();
    let fair = server.see();
    assert_eq!(server.enter_after(&free, &attempt(semaphore(2))), None);
    // Another kind is in use by the time when the second step arrives.
    server.leave(first.lease);
    let other = attempt(semaphore(2));
    server.enter(&other).unwrap();
    assert_eq!(server.enter_after(&fair, &attempt(LockKind::Fair)), None);
    assert_eq!(server.enter_after(&fair, &attempt(LockKind::Fair).without_waiting()), None);
    assert_eq!(server.record().kind, semaphore(2));
}

#[test]
fn an_attempt_makes_one_entry() {
    let mut server = Server::new();
    server.enter(&attempt(LockKind::Fair)).unwrap();
    let (seen, twice) = (server.see(), attempt(LockKind::Fair));
    server.enter_after(&seen, &twice).unwrap();
    assert_eq!(server.enter_after(&seen, &twice), None);
}

#[test]
fn an_attempt_that_waits_may_be_overtaken_and_one_that_does_not_looks_again() {
    let mut server = Server::new();
    let kind = semaphore(3);
    let [first, second] = [attempt(kind), attempt(kind).with_weight(2)];
    server.enter(&first).unwrap();
    let seen = server.see();
    server.enter(&second).unwrap();
    assert_eq!(server.enter_after(&seen, &attempt(kind).without_waiting()), None);
    let waiter = attempt(kind);
    server.enter_after(&seen, &waiter).unwrap();
    let queue = server.record().queue.unwrap();
    let last = queue.entries.last().map(|entry| entry.id);
    assert_eq!((queue.holding, last), (2, Some(waiter.lease)));
    server.leave(second.lease);
    // There was room, and an entry that leaves in between takes none of it.
    let seen = server.see();
    server.leave(first.lease);
    server.enter_after(&seen, &attempt(kind).without_waiting()).unwrap();
}

#[test]
fn a_queue_never_has_too_many_entries() {
    let mut server = Server::new();
    for _ in 0..MAX_ENTRIES - 2 {
        server.enter(&attempt(LockKind::Fair)).unwrap();
    }
    let seen = server.see();
    server.enter(&attempt(LockKind::Fair)).unwrap();
    // This one is the last for which there is room.
    server.enter_after(&seen, &attempt(LockKind::Fair)).unwrap();
    assert_eq!(server.record().queue.unwrap().entries.len(), MAX_ENTRIES);
    assert_eq!(server.enter_after(&seen, &attempt(LockKind::Fair)), None);
}

#[test]
fn a_disable_tells_the_entries_that_there_are_to_leave() {
    let mut server = Server::new();
    let [first, second] = [attempt(semaphore(2)), attempt(semaphore(2))];
    server.enter(&first).unwrap();
    let seen = server.see();
    server.disable("upkeep");
    let told = || Some("upkeep".to_owned());
    assert_eq!(server.endings(), [told()]);
    assert_eq!(server.enter_after(&seen, &second), None);
    server.enable();
    server.enter(&second).unwrap();
    assert_eq!(server.endings(), [told(), None]);
    server.disable("again");
    assert_eq!(server.endings(), [Some("again".to_owned()), Some("again".to_owned())]);
    server.enable();
    assert!(server.leave(first.lease) && server.leave(second.lease));
    // Nothing is left for later entries, and no key is left once the first of them is made.
    server.enter(&attempt(semaphore(2))).unwrap();
    assert_eq!(server.endings(), [None]);
    let read = server.run(|keys, name| transaction::read_key(&keys.key(Family::LeaveReason, name)));
    assert!(transaction::first_key(&read).is_none());
}

#[test]
fn a_disable_of_a_name_without_entries_tells_nobody() {
    let mut server = Server::new();
    server.disable("upkeep");
    server.enable();
    let unused = LockRecord::unused(server.name.clone());
    assert_eq!(server.record(), unused);
    server.enter(&attempt(LockKind::Fair)).unwrap();
    assert_eq!(server.endings(), [None]);
}

#[test]
fn an_entry_keeps_its_token_when_its_ttl_changes() {
    let mut server = Server::new();
    let first = attempt(LockKind::Fair);
    let (token, lease) = server.enter(&first).unwrap();
    let before = server.see().0.entry(first.lease).unwrap().clone();
    let moved = |server: &mut Server, entry: &StoredEntry| {
        server.run(|keys, name| move_entry(keys, name, entry, 99)).succeeded()
    };
    assert!(moved(&mut server, &before));
    server.etcd.expire(lease);
    let after = server.see().0.entry(first.lease).unwrap().clone();
    assert_eq!((after.created, after.etcd_lease), (token, 99));
    assert_eq!((&after.holder, after.weight), (&before.holder, before.weight));
    // The key has changed since it was read.
    assert!(!moved(&mut server, &before));
    // An entry that was told to leave is not extended in this way either.
    server.disable("upkeep");
    assert!(!moved(&mut server, &after));
    server.enable();
    assert!(!moved(&mut server, &after));
}

#[test]
fn a_name_with_entries_is_not_pruned() {
    let mut server = Server::new();
    let first = attempt(LockKind::Fair);
    let (granted, _) = server.enter(&first).unwrap();
    let prune = |server: &mut Server| {
        server.run(|keys, name| transaction::prune(keys, name, granted)).succeeded()
    };
    server.disable("upkeep");
    server.enable();
    assert!(!prune(&mut server));
    server.leave(first.lease);
    assert!(prune(&mut server));
    let (stored, _) = server.see();
    assert!(stored.has_no_entries());
    let left = server.run(|keys, name| transaction::read_key(&keys.key(Family::LeaveReason, name)));
    assert!(transaction::first_key(&left).is_none());
}

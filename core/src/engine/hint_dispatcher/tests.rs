//! These tests cover the subscriptions of a client and the end of its runtime.

use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;

use super::*;
use crate::{MemoryStore, SystemClock};

fn dispatcher() -> Arc<HintDispatcher> {
    let store = BoundedStore::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock));
    let (background, random) = (BackgroundRuntime::new(false), SeededRandom::new(Some(1)));
    Arc::new(HintDispatcher::new(store, Arc::new(background), Arc::new(random), true))
}

/// A waiter once started a watch that was dropped at once, which woke the waiter, in a loop.
#[test]
fn a_waiter_does_not_block_runtime_shutdown() {
    let (done, waited) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        let name = LockName::new("job").unwrap();
        let subscription = runtime.block_on(async { dispatcher().subscribe(name) });
        drop(runtime);
        let _entered = handle.enter();
        let mut changed = std::pin::pin!(subscription.changed());
        let polled = changed.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        done.send(polled.is_pending()).unwrap();
    });
    assert_eq!(waited.recv_timeout(Duration::from_secs(30)), Ok(true));
}

#[tokio::test]
async fn names_without_waiters_are_removed() {
    let dispatcher = dispatcher();
    for number in 0..100 {
        let name = LockName::new(format!("lock-{number}")).unwrap();
        let [first, second] = [(); 2].map(|()| dispatcher.subscribe(name.clone()));
        drop(first);
        assert!(!dispatcher.state().subscribers.is_empty());
        drop(second);
        assert!(dispatcher.state().subscribers.is_empty());
    }
}

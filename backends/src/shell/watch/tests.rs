use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;

use super::super::scripted::{Scripted, Step};
use super::*;
use crate::LockName;

/// Returns a backend whose subscriptions do the steps that are sent, and the subscriptions.
fn scripted() -> (mpsc::UnboundedSender<Step>, Arc<Scripted>, Subscriptions) {
    let (sender, steps) = mpsc::unbounded_channel();
    let backend = Scripted { steps: Some(steps).into(), ..Scripted::default() };
    (sender, Arc::new(backend), Subscriptions::default())
}

fn hint(name: &str) -> Hint {
    Hint::Name(LockName::new(name).unwrap())
}

fn send(steps: &mpsc::UnboundedSender<Step>, all: impl IntoIterator<Item = Step>) {
    all.into_iter().for_each(|step| assert!(steps.send(step).is_ok()));
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_begins_with_the_first_change() {
    let (steps, backend, subscriptions) = scripted();
    send(&steps, [Step::Listening]);
    let mut hints = subscriptions.watch(&backend).await.unwrap();
    assert!(hints.next().now_or_never().is_none());
    send(&steps, [Step::Hint(hint("a"))]);
    assert_eq!(hints.next().await, Some(hint("a")));
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_reported_and_hints_continue() {
    let (steps, backend, subscriptions) = scripted();
    send(&steps, [Step::Listening]);
    let mut hints = subscriptions.watch(&backend).await.unwrap();
    send(&steps, [Step::Break, Step::Break, Step::Listening, Step::Hint(hint("a"))]);
    // At each failure, and when the subscription is complete again.
    for _ in 0..3 {
        assert_eq!(hints.next().await, Some(Hint::Anything));
    }
    assert_eq!(hints.next().await, Some(hint("a")));
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_is_returned_to_the_caller() {
    let (steps, backend, subscriptions) = scripted();
    send(&steps, [Step::Break]);
    let error = subscriptions.watch(&backend).await.err().unwrap();
    assert!(error.to_string().contains("the subscription broke"), "{error}");
    // Another watch subscribes again, and a closed store returns an error.
    send(&steps, [Step::Close]);
    let error = subscriptions.watch(&backend).await.err().unwrap();
    assert!(error.to_string().contains("closed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn watches_share_a_subscription_that_ends_with_the_last() {
    let (steps, backend, subscriptions) = scripted();
    send(&steps, [Step::Listening]);
    let mut first = subscriptions.watch(&backend).await.unwrap();
    let second = subscriptions.watch(&backend).await.unwrap();
    drop(second);
    send(&steps, [Step::Hint(hint("a"))]);
    assert_eq!(first.next().await, Some(hint("a")));
    drop(first);
    // The task ended and no longer locks the steps.
    drop(tokio::time::timeout(Duration::from_secs(5), backend.steps.lock()).await.unwrap());
    send(&steps, [Step::Listening, Step::Hint(hint("b"))]);
    let mut third = subscriptions.watch(&backend).await.unwrap();
    assert_eq!(third.next().await, Some(hint("b")));
    // A dropped call leaves no running task.
    drop(third);
    assert!(subscriptions.watch(&backend).now_or_never().is_none());
    drop(tokio::time::timeout(Duration::from_secs(5), backend.steps.lock()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_lagging_stream_gets_one_general_hint_and_ends_when_the_store_is_closed() {
    let (steps, backend, subscriptions) = scripted();
    send(&steps, [Step::Listening]);
    let mut hints = subscriptions.watch(&backend).await.unwrap();
    send(&steps, (0..5000).map(|_| Step::Hint(hint("a"))));
    send(&steps, [Step::Close]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hints.next().await, Some(Hint::Anything));
    assert_eq!(hints.by_ref().collect::<Vec<_>>().await.len(), 1024);
}

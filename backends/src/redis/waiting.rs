//! Connections for grants that wait for replicas.
//!
//! A server answers nothing else on a connection that waits, so heartbeats must not share one with
//! a grant whose replicas hang. Each grant waits on a connection of its own, up to a number of them.

use std::sync::{Arc, Mutex, PoisonError};

use ::redis::{Cmd, RedisResult, Value};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::link::{Call, Link};
use super::place::Place;
use crate::common::limit::{CALL_LIMIT, unanswered};
use crate::{ErrorKind, Result};

/// How many grants of a store wait at once.
const CONNECTIONS: usize = 8;

#[derive(Debug)]
pub(super) struct Waiting {
    place: Arc<Place>,
    permits: Semaphore,
    idle: Mutex<Vec<Link>>,
}

impl Waiting {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { place, permits: Semaphore::new(CONNECTIONS), idle: Mutex::default() }
    }

    /// Runs the script, and after it the command that waits, in one round trip.
    ///
    /// A connection whose call is dropped is closed with it: it may wait for a while.
    pub(super) async fn call_and(
        &self,
        call: &Call,
        then: &Cmd,
    ) -> Result<(Value, RedisResult<Value>)> {
        // What waited in vain for a connection was never sent.
        let Ok(Ok(_permit)) = timeout(CALL_LIMIT / 2, self.permits.acquire()).await else {
            return Err(unanswered(ErrorKind::Unavailable));
        };
        let idle = self.idle().pop();
        let link = idle.unwrap_or_else(|| Link::new(Arc::clone(&self.place)));
        let answers = link.call_and(call, then).await;
        self.idle().push(link);
        answers
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

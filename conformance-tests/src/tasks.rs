//! Runs the tasks of a case, which end with the case. Their panics make the case fail.

use std::sync::Arc;

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Barrier;
use tokio_util::task::AbortOnDropHandle;

use crate::failure::{CaseResult, Failure, caught};

/// This task ends when this value is dropped.
#[derive(Debug)]
pub struct Task<T>(AbortOnDropHandle<CaseResult<T>>);

/// Starts a task of a case.
pub fn spawn<T: Send + 'static>(
    future: impl Future<Output = CaseResult<T>> + Send + 'static,
) -> Task<T> {
    Task(AbortOnDropHandle::new(tokio::spawn(caught(future))))
}

impl<T> Task<T> {
    /// Waits for the result of the task.
    ///
    /// # Errors
    /// Returns its failure, or its panic as a failure.
    pub async fn join(self) -> CaseResult<T> {
        self.0.await?
    }
}

/// Runs all contenders at once, each as a task. They start together once all are ready.
///
/// # Errors
/// Returns the first failure among them and ends the others.
pub async fn race<T, F>(contenders: impl IntoIterator<Item = F>) -> CaseResult<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = CaseResult<T>> + Send + 'static,
{
    let contenders: Vec<F> = contenders.into_iter().collect();
    let start = Arc::new(Barrier::new(contenders.len().max(1)));
    let mut tasks: FuturesUnordered<_> = contenders
        .into_iter()
        .enumerate()
        .map(|(number, contender)| {
            let start = Arc::clone(&start);
            let task = spawn(async move {
                start.wait().await;
                contender.await
            });
            async move { Ok::<_, Failure>((number, task.join().await?)) }
        })
        .collect();
    // The results are not awaited in order, because others may wait for what the failed one holds.
    let mut results = Vec::new();
    while let Some(result) = tasks.try_next().await? {
        results.push(result);
    }
    results.sort_by_key(|(number, _)| *number);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

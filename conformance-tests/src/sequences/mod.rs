//! This module runs random sequences of calls on a store. Each answer is checked against the
//! [model](crate::model), and a sequence with a wrong answer is shrunk to the steps that cause it.

mod describe;
mod runner;
mod shrink;
mod step;

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::{CaseResult, Ctx, Failure};
use runner::{Completion, Runner, WrongAnswer};
use step::{CLIENTS, LENGTHS, Move};

/// This seed is used unless `LEASEHOLD_SEED` gives another one.
const SEED: u64 = 7;

/// This many sequences run at the same time. The number is large because they mostly wait.
const AT_ONCE: usize = 24;

/// A sequence is tried this many times until the store answers each of its calls.
const TRIES: usize = 10;

/// Runs many sequences. If `lossy` is set, some of their requests and answers are lost.
///
/// # Errors
/// Returns the shortest sequence found with an answer that contradicts the contract.
pub(crate) async fn run_many(ctx: Ctx, lossy: bool) -> CaseResult {
    let seed = match std::env::var("LEASEHOLD_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => SEED,
    };
    // If the shortest lease lasts seconds, each sequence takes longer.
    let count = if ctx.short_ttl() < Duration::from_secs(1) { 72 } else { AT_ONCE };
    let runner = Runner { clients: ctx.open_many(CLIENTS).await?, ctx };
    let runs = (0..count).map(|number| run(&runner, seed, number, lossy));
    let runs = stream::iter(runs).buffer_unordered(AT_ONCE);
    let Err((number, wrong_answer)) = runs.try_collect::<()>().await else { return Ok(()) };
    let Some(wrong_answer) = wrong_answer else {
        return Err(Failure::new("the store lost an answer at every try of a sequence"));
    };
    let steps = draw(seed, number, lossy)?;
    let drawn = steps.len();
    let (steps, WrongAnswer { report, .. }) =
        shrink::shrink(&runner, format!("{number}.shrunk"), steps, wrong_answer).await;
    Err(Failure::new(format!(
        "a wrong answer (LEASEHOLD_SEED={seed}, sequence {number}, shrunk from {drawn} steps to \
         {}){report}",
        steps.len()
    )))
}

/// Runs the sequence of that number until each call is answered.
async fn run(
    runner: &Runner,
    seed: u64,
    number: usize,
    lossy: bool,
) -> Result<(), (usize, Option<WrongAnswer>)> {
    let steps = draw(seed, number, lossy).map_err(|_| (number, None))?;
    let sequence: Vec<Move> = steps.iter().map(ValueTree::current).collect();
    for attempt in 0..TRIES {
        match runner.run(&format!("{number}.{attempt}/"), &sequence).await {
            Ok(Completion::Complete) => return Ok(()),
            Ok(Completion::UnknownOutcome) => {}
            Err(wrong_answer) => return Err((number, Some(wrong_answer))),
        }
    }
    Err((number, None))
}

/// Draws the sequence of that number, in which each step can be simplified.
fn draw(
    seed: u64,
    number: usize,
    lossy: bool,
) -> CaseResult<Vec<impl ValueTree<Value = Move> + Send>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let drawn = |reason: proptest::test_runner::Reason| Failure::new(reason.message());
    let length = LENGTHS.new_tree(&mut runner).map_err(drawn)?.current();
    let step = step::steps(lossy);
    (0..length).map(|_| step.new_tree(&mut runner).map_err(drawn)).collect()
}

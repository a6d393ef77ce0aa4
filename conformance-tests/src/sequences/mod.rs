//! This module runs random sequences of calls on a store. Each answer is checked against the
//! [model](crate::model), and a sequence with a wrong answer is shrunk to the steps that cause it.

mod describe;
mod reads;
mod runner;
mod shrink;
mod step;

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::{CaseResult, Ctx, Failure};
use runner::{Completion, Runner, WrongAnswer};
use step::{CLIENTS, KINDS, LENGTHS, Move, delivered, step_of_leases, step_with_queues};

/// This seed is used unless `LEASEHOLD_SEED` gives another one.
const SEED: u64 = 7;

/// This many sequences run at the same time. The number is large because they mostly wait.
const AT_ONCE: usize = 24;

/// A sequence is tried this many times until the store answers each of its calls.
const TRIES: usize = 10;

/// Runs many sequences of calls about exclusive locks. If `lossy` is set, some of their requests
/// and answers are lost.
///
/// # Errors
/// Returns the shortest sequence found with an answer that contradicts the contract.
pub(crate) async fn run_many(ctx: Ctx, lossy: bool) -> CaseResult {
    run_drawn(ctx, move |seed, number| draw(&delivered(step_of_leases(), lossy), seed, number))
        .await
}

/// Runs many sequences in the same way, of calls about exclusive locks and queues.
///
/// # Errors
/// Returns the shortest sequence found with an answer that contradicts the contract.
pub(crate) async fn run_many_with_queues(ctx: Ctx, lossy: bool) -> CaseResult {
    run_drawn(ctx, move |seed, number| {
        let usual = KINDS[number % KINDS.len()];
        draw(&delivered(step_with_queues(usual), lossy), seed, number)
    })
    .await
}

/// Runs the sequences that are drawn with the seed and the number of each.
async fn run_drawn<T: ValueTree<Value = Move>>(
    ctx: Ctx,
    draw: impl Fn(u64, usize) -> CaseResult<Vec<T>>,
) -> CaseResult {
    let seed = match std::env::var("LEASEHOLD_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => SEED,
    };
    // If the shortest lease lasts seconds, each sequence takes longer.
    let count = if ctx.short_ttl() < Duration::from_secs(1) { 72 } else { AT_ONCE };
    let runner = Runner { clients: ctx.open_many(CLIENTS).await?, ctx };
    let mut sequences: Vec<Vec<Move>> = Vec::new();
    for number in 0..count {
        sequences.push(draw(seed, number)?.iter().map(ValueTree::current).collect());
    }
    let runs = sequences.into_iter().enumerate().map(|(number, one)| run(&runner, number, one));
    let runs = stream::iter(runs).buffer_unordered(AT_ONCE);
    let Err((number, wrong_answer)) = runs.try_collect::<()>().await else { return Ok(()) };
    let Some(wrong_answer) = wrong_answer else {
        return Err(Failure::new("the store lost an answer at every try of a sequence"));
    };
    let steps = draw(seed, number)?;
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
    number: usize,
    sequence: Vec<Move>,
) -> Result<(), (usize, Option<WrongAnswer>)> {
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
fn draw<S: Strategy<Value = Move>>(step: &S, seed: u64, number: usize) -> CaseResult<Vec<S::Tree>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let drawn = |reason: proptest::test_runner::Reason| Failure::new(reason.message());
    let length = LENGTHS.new_tree(&mut runner).map_err(drawn)?.current();
    (0..length).map(|_| step.new_tree(&mut runner).map_err(drawn)).collect()
}

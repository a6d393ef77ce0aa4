//! This module plays random sequences of calls on a store. Each answer is checked against the
//! [model](crate::model), and a sequence with a wrong answer is shrunk to the steps that cause it.

mod play;
mod shrink;
mod step;
mod words;

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::{CaseResult, Ctx, Failure};
use play::{Flaw, Played, Stage};
use step::{CLIENTS, LENGTHS, Move};

/// This seed is used unless `LEASEHOLD_SEED` gives another one.
const SEED: u64 = 7;

/// This many sequences are played at the same time. The number is large because they mostly wait.
const AT_ONCE: usize = 24;

/// A sequence is tried this many times until the store answers each of its calls.
const TRIES: usize = 10;

/// Plays many sequences. If `lossy` is set, some of their requests and answers are lost.
///
/// # Errors
/// Returns the shortest sequence found with an answer that contradicts the contract.
pub(crate) async fn play_many(ctx: Ctx, lossy: bool) -> CaseResult {
    let seed = match std::env::var("LEASEHOLD_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => SEED,
    };
    // If a lease lasts at least seconds, so does each sequence.
    let count = if ctx.short_ttl() < Duration::from_secs(1) { 72 } else { AT_ONCE };
    let stage = Stage { clients: ctx.open_many(CLIENTS).await?, ctx };
    let plays = (0..count).map(|number| play(&stage, seed, number, lossy));
    let plays = stream::iter(plays).buffer_unordered(AT_ONCE);
    let Err((number, flaw)) = plays.try_collect::<()>().await else { return Ok(()) };
    let Some(flaw) = flaw else {
        return Err(Failure::new("the store lost an answer at every try of a sequence"));
    };
    let steps = draw(seed, number, lossy)?;
    let drawn = steps.len();
    let (steps, Flaw { story, .. }) =
        shrink::shrink(&stage, format!("{number}.shrunk"), steps, flaw).await;
    Err(Failure::new(format!(
        "a wrong answer (LEASEHOLD_SEED={seed}, sequence {number}, shrunk from {drawn} steps to \
         {}){story}",
        steps.len()
    )))
}

/// Plays the sequence of that number until each call is answered.
async fn play(
    stage: &Stage,
    seed: u64,
    number: usize,
    lossy: bool,
) -> Result<(), (usize, Option<Flaw>)> {
    let steps = draw(seed, number, lossy).map_err(|_| (number, None))?;
    let sequence: Vec<Move> = steps.iter().map(ValueTree::current).collect();
    for attempt in 0..TRIES {
        match stage.play(&format!("{number}.{attempt}/"), &sequence).await {
            Ok(Played::ToItsEnd) => return Ok(()),
            Ok(Played::UntilAnUnknownOutcome) => {}
            Err(flaw) => return Err((number, Some(flaw))),
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

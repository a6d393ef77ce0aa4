//! Makes a sequence with a wrong answer as short as possible.

use std::iter::successors;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proptest::strategy::ValueTree;

use super::play::{Flaw, Stage};
use super::step::Move;

/// A sequence is shrunk for this long.
const TIME: Duration = Duration::from_secs(15);

/// This is the sequence as far as it is shrunk, and the evidence.
struct Shrinking<'a, T> {
    stage: &'a Stage,
    prefix: String,
    /// Each of these steps can be simplified.
    steps: Vec<T>,
    /// This sequence was played last with a wrong answer at its end.
    flawed: Vec<Move>,
    flaw: Flaw,
    plays: usize,
    end: Instant,
}

/// Plays shorter and simpler sequences while one of their answers is wrong. Returns the last such
/// sequence and what was wrong with it.
pub(super) async fn shrink<T: ValueTree<Value = Move>>(
    stage: &Stage,
    prefix: String,
    mut steps: Vec<T>,
    flaw: Flaw,
) -> (Vec<Move>, Flaw) {
    // Steps after the wrong answer do not matter.
    steps.truncate(flaw.at + 1);
    let flawed = steps.iter().map(ValueTree::current).collect();
    let end = Instant::now() + TIME;
    let mut shrinking = Shrinking { stage, prefix, steps, flawed, flaw, plays: 0, end };
    while shrinking.leave_out().await || shrinking.simplify().await {}
    (shrinking.flawed, shrinking.flaw)
}

impl<T: ValueTree<Value = Move>> Shrinking<'_, T> {
    /// Removes steps that the wrong answer does not need. Returns whether it removed any.
    async fn leave_out(&mut self) -> bool {
        let length = self.steps.len();
        // Each half, quarter and so on is tried, down to single steps.
        let stretches: Vec<Range<usize>> = successors(Some(length / 2), |size| Some(size / 2))
            .take_while(|size| *size > 0)
            .flat_map(|size| (0..=length - size).step_by(size).map(move |at| at..at + size))
            .collect();
        // All are played at the same time, because they mostly wait.
        let needless = self.play_all(stretches.into_iter().map(|one| vec![one]).collect()).await;
        let stretches: Vec<Range<usize>> =
            needless.iter().flat_map(|(left_out, _)| left_out.clone()).collect();
        // Steps that are not needed one by one are often not needed together.
        let together = (2..=stretches.len()).map(|count| stretches[..count].to_vec()).collect();
        let mut flawed = self.play_all(together).await;
        flawed.extend(needless);
        let Some((left_out, flaw)) = flawed.into_iter().min_by_key(|(_, flaw)| flaw.at) else {
            return false;
        };
        let mut number = 0..;
        self.steps.retain(|_| number.next().is_some_and(|step| !is_in(step, &left_out)));
        self.accept(flaw);
        true
    }

    /// Makes each step as simple as possible. Returns whether it simplified any.
    async fn simplify(&mut self) -> bool {
        let before = self.flawed.clone();
        let mut at = 0;
        while at < self.steps.len() {
            let mut more = self.steps[at].simplify();
            while more && at < self.steps.len() {
                more = if self.is_flawed().await {
                    at < self.steps.len() && self.steps[at].simplify()
                } else {
                    self.steps[at].complicate()
                };
            }
            at += 1;
        }
        self.flawed != before
    }

    /// Returns whether an answer is wrong in the sequence as it is now.
    async fn is_flawed(&mut self) -> bool {
        if self.current() == self.flawed {
            return true;
        }
        let Some((_, flaw)) = self.play_all(vec![Vec::new()]).await.pop() else { return false };
        self.accept(flaw);
        true
    }

    /// Plays the steps without those that each variant leaves out. Returns the variants in which an
    /// answer is wrong.
    async fn play_all(
        &mut self,
        left_out: Vec<Vec<Range<usize>>>,
    ) -> Vec<(Vec<Range<usize>>, Flaw)> {
        if Instant::now() > self.end {
            return Vec::new();
        }
        let first = self.plays;
        self.plays += left_out.len();
        let (steps, stage, prefix) = (self.current(), self.stage, &self.prefix);
        let plays = left_out.into_iter().zip(first..).map(|(left_out, number)| {
            let sequence: Vec<Move> = steps
                .iter()
                .enumerate()
                .filter(|(step, _)| !is_in(*step, &left_out))
                .map(|(_, one)| one.clone())
                .collect();
            async move {
                let flaw = stage.play(&format!("{prefix}.{number}/"), &sequence).await.err()?;
                Some((left_out, flaw))
            }
        });
        join_all(plays).await.into_iter().flatten().collect()
    }

    fn current(&self) -> Vec<Move> {
        self.steps.iter().map(ValueTree::current).collect()
    }

    /// Continues with the steps as they are, up to their wrong answer.
    fn accept(&mut self, flaw: Flaw) {
        self.steps.truncate(flaw.at + 1);
        self.flawed = self.current();
        self.flaw = flaw;
    }
}

fn is_in(step: usize, stretches: &[Range<usize>]) -> bool {
    stretches.iter().any(|stretch| stretch.contains(&step))
}

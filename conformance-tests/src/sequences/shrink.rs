//! Makes a sequence with a wrong answer as short as possible.

use std::iter::successors;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proptest::strategy::ValueTree;

use super::runner::{Runner, WrongAnswer};
use super::step::Move;

/// A sequence is shrunk for this long.
const TIME: Duration = Duration::from_secs(15);

/// This is a sequence that is being shrunk, with its latest wrong answer.
struct Shrinking<'a, T> {
    runner: &'a Runner,
    prefix: String,
    /// Each of these steps can be simplified.
    steps: Vec<T>,
    /// This is the latest sequence with a wrong answer at its end.
    failing: Vec<Move>,
    wrong_answer: WrongAnswer,
    runs: usize,
    end: Instant,
}

/// Runs shorter and simpler sequences as long as one of their answers is wrong. Returns the last
/// such sequence and its wrong answer.
pub(super) async fn shrink<T: ValueTree<Value = Move>>(
    runner: &Runner,
    prefix: String,
    mut steps: Vec<T>,
    wrong_answer: WrongAnswer,
) -> (Vec<Move>, WrongAnswer) {
    // Steps after the wrong answer do not matter.
    steps.truncate(wrong_answer.at + 1);
    let failing = steps.iter().map(ValueTree::current).collect();
    let end = Instant::now() + TIME;
    let mut shrinking = Shrinking { runner, prefix, steps, failing, wrong_answer, runs: 0, end };
    while shrinking.leave_out().await || shrinking.simplify().await {}
    (shrinking.failing, shrinking.wrong_answer)
}

impl<T: ValueTree<Value = Move>> Shrinking<'_, T> {
    /// Removes steps that the wrong answer does not need. Returns whether it removed any.
    async fn leave_out(&mut self) -> bool {
        let length = self.steps.len();
        // Each half, quarter and so on is tried, down to single steps.
        let ranges: Vec<Range<usize>> = successors(Some(length / 2), |size| Some(size / 2))
            .take_while(|size| *size > 0)
            .flat_map(|size| (0..=length - size).step_by(size).map(move |at| at..at + size))
            .collect();
        // All run at the same time, because they mostly wait.
        let needless = self.run_all(ranges.into_iter().map(|one| vec![one]).collect()).await;
        let ranges: Vec<Range<usize>> =
            needless.iter().flat_map(|(left_out, _)| left_out.clone()).collect();
        // Steps that are not needed one by one are often not needed together.
        let together = (2..=ranges.len()).map(|count| ranges[..count].to_vec()).collect();
        let mut failing = self.run_all(together).await;
        failing.extend(needless);
        let Some((left_out, wrong_answer)) =
            failing.into_iter().min_by_key(|(_, wrong_answer)| wrong_answer.at)
        else {
            return false;
        };
        let mut number = 0..;
        self.steps.retain(|_| number.next().is_some_and(|step| !is_in(step, &left_out)));
        self.accept(wrong_answer);
        true
    }

    /// Makes each step as simple as possible. Returns whether it simplified any.
    async fn simplify(&mut self) -> bool {
        let before = self.failing.clone();
        let mut at = 0;
        while at < self.steps.len() {
            let mut more = self.steps[at].simplify();
            while more && at < self.steps.len() {
                more = if self.still_fails().await {
                    at < self.steps.len() && self.steps[at].simplify()
                } else {
                    self.steps[at].complicate()
                };
            }
            at += 1;
        }
        self.failing != before
    }

    /// Returns whether an answer is wrong in the current sequence.
    async fn still_fails(&mut self) -> bool {
        if self.current() == self.failing {
            return true;
        }
        let Some((_, wrong_answer)) = self.run_all(vec![Vec::new()]).await.pop() else {
            return false;
        };
        self.accept(wrong_answer);
        true
    }

    /// Runs the steps without those that each variant leaves out. Returns the variants in which an
    /// answer is wrong.
    async fn run_all(
        &mut self,
        left_out: Vec<Vec<Range<usize>>>,
    ) -> Vec<(Vec<Range<usize>>, WrongAnswer)> {
        if Instant::now() > self.end {
            return Vec::new();
        }
        let first = self.runs;
        self.runs += left_out.len();
        let (steps, runner, prefix) = (self.current(), self.runner, &self.prefix);
        let runs = left_out.into_iter().zip(first..).map(|(left_out, number)| {
            let sequence: Vec<Move> = steps
                .iter()
                .enumerate()
                .filter(|(step, _)| !is_in(*step, &left_out))
                .map(|(_, one)| one.clone())
                .collect();
            async move {
                let wrong_answer =
                    runner.run(&format!("{prefix}.{number}/"), &sequence).await.err()?;
                Some((left_out, wrong_answer))
            }
        });
        join_all(runs).await.into_iter().flatten().collect()
    }

    fn current(&self) -> Vec<Move> {
        self.steps.iter().map(ValueTree::current).collect()
    }

    /// Continues with the steps as they are, up to their wrong answer.
    fn accept(&mut self, wrong_answer: WrongAnswer) {
        self.steps.truncate(wrong_answer.at + 1);
        self.failing = self.current();
        self.wrong_answer = wrong_answer;
    }
}

fn is_in(step: usize, ranges: &[Range<usize>]) -> bool {
    ranges.iter().any(|range| range.contains(&step))
}

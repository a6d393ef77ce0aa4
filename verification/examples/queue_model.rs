//! Searches the model of queues: `queue_model KIND WEIGHTS FAULTS COMMANDS [STEPS [MUTATION]]`, such
//! as `queue_model semaphore:2 1,2,1 1 0`.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use leasehold_core::LockKind;
use leasehold_verification::model::Budget;
use leasehold_verification::queue_model::{Mutation, QueueModel};

/// The search that the arguments describe.
struct Options {
    kind: LockKind,
    weights: Vec<u32>,
    budget: Budget,
    steps: Option<NonZeroUsize>,
    mutation: Option<Mutation>,
}

fn options(arguments: &[String]) -> Option<Options> {
    let number = |at: usize| arguments.get(at).and_then(|given| given.parse::<u8>().ok());
    let kind = arguments.first()?.parse::<LockKind>().ok()?;
    let weights: Result<Vec<u32>, _> = arguments.get(1)?.split(',').map(str::parse).collect();
    let budget = Budget { faults: number(2)?, commands: number(3)? };
    let steps = number(4).and_then(|steps| NonZeroUsize::new(steps.into()));
    let mutation = match arguments.get(5) {
        Some(given) => Some(
            Mutation::ALL
                .into_iter()
                .find(|mutation| format!("{mutation:?}").eq_ignore_ascii_case(given))?,
        ),
        None => None,
    };
    Some(Options { kind, weights: weights.ok()?, budget, steps, mutation })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(Options { kind, weights, budget, steps, mutation }) = options(&arguments) else {
        eprintln!("usage: queue_model KIND WEIGHTS FAULTS COMMANDS [STEPS [MUTATION]]");
        eprintln!("the kind is one such as fair, semaphore:2 or reader-writer");
        eprintln!("the mutation is one of {:?}", Mutation::ALL);
        return ExitCode::from(2);
    };
    let model = match QueueModel::new(kind, &weights, budget) {
        Ok(model) => model,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let model = match mutation {
        Some(mutation) => model.without(mutation),
        None => model,
    };
    let explored = model.explore(steps);
    println!("{explored}");
    if explored.counterexamples.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! Searches the model: `model CANDIDATES LOCKERS FAULTS COMMANDS [STEPS [MUTATION]]`.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use leasehold_verification::model::{Budget, LeaseModel, Mutation};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|given| given.parse::<u8>().ok());
    let (Some(candidates), Some(lock_callers), Some(faults), Some(commands)) =
        (number(0), number(1), number(2), number(3))
    else {
        eprintln!("usage: model CANDIDATES LOCKERS FAULTS COMMANDS [STEPS [MUTATION]]");
        return ExitCode::from(2);
    };
    let steps = number(4).and_then(|steps| NonZeroUsize::new(steps.into()));
    let mutation = arguments.get(5).map(|given| {
        Mutation::ALL
            .into_iter()
            .find(|mutation| format!("{mutation:?}").eq_ignore_ascii_case(given))
    });
    let model =
        LeaseModel::new(candidates.into(), lock_callers.into(), Budget { faults, commands });
    let model = match (model, mutation) {
        (Ok(model), None) => model,
        (Ok(model), Some(Some(mutation))) => model.without(mutation),
        (Ok(_), Some(None)) => {
            eprintln!("unknown mutation; use one of {:?}", Mutation::ALL);
            return ExitCode::from(2);
        }
        (Err(error), _) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let explored = model.explore(steps);
    println!("{explored}");
    if explored.counterexamples.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

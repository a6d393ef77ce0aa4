//! Searches the model: `model INSTANCES FAULTS COMMANDS [STEPS [FLAW]]`.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use leasehold_verification::model::{Election, Flaw, Limits};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|given| given.parse::<u8>().ok());
    let (Some(instances), Some(faults), Some(commands)) = (number(0), number(1), number(2)) else {
        eprintln!("usage: model INSTANCES FAULTS COMMANDS [STEPS [FLAW]]");
        return ExitCode::from(2);
    };
    let steps = number(3).and_then(|steps| NonZeroUsize::new(steps.into()));
    let flaw = arguments.get(4).map(|given| {
        Flaw::ALL.into_iter().find(|flaw| format!("{flaw:?}").eq_ignore_ascii_case(given))
    });
    let election = Election::new(instances.into(), Limits { faults, commands });
    let election = match (election, flaw) {
        (Ok(election), None) => election,
        (Ok(election), Some(Some(flaw))) => election.without(flaw),
        (Ok(_), Some(None)) => {
            eprintln!("a flaw is one of {:?}", Flaw::ALL);
            return ExitCode::from(2);
        }
        (Err(error), _) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let explored = election.explore(steps);
    println!("{explored}");
    if explored.counterexamples.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

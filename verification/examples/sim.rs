//! Runs seeds of the simulation with `sim [--seeds N] [--first S] [--jobs J]`, or runs one seed and
//! shows its history with `sim --seed S [--trace]`.

use std::process::ExitCode;
use std::time::Instant;

use leasehold_verification::simulation::{SimulationPlan, run, search};

/// The run that the arguments describe.
struct Options {
    seeds: u64,
    first: u64,
    jobs: usize,
    one: Option<u64>,
    trace: bool,
}

fn options() -> Option<Options> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options { seeds: 2000, first: 0, jobs, one: None, trace: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse::<u64>().ok();
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--first" => options.first = number()?,
            "--jobs" => options.jobs = usize::try_from(number()?).ok()?.max(1),
            "--seed" => options.one = Some(number()?),
            "--trace" => options.trace = true,
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("usage: sim [--seeds N] [--first S] [--jobs J] | sim --seed S [--trace]");
        return ExitCode::from(2);
    };
    let Options { seeds, first, jobs, one, trace } = options;
    if let Some(seed) = one {
        let plan = SimulationPlan::generate(seed);
        return match run(&plan) {
            Ok(outcome) => {
                print!("{plan}");
                if trace {
                    print!("{}", outcome.history);
                }
                outcome.violations.iter().for_each(|violation| println!("{violation}"));
                ExitCode::from(u8::from(!outcome.violations.is_empty()))
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let begun = Instant::now();
    let found = search(first..first.saturating_add(seeds), jobs);
    let took = begun.elapsed();
    println!(
        "{found}, {:.0} seeds a second, {jobs} at a time",
        found.runs as f64 / took.as_secs_f64()
    );
    ExitCode::from(u8::from(found.failure.is_some()))
}

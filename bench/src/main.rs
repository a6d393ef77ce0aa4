//! Measures what a lock costs, beside the bare driver and other libraries on the same server:
//! `cargo xtask bench`.
//!
//! All contenders of a server are measured in one run, in slices and in random order. Nothing here
//! decides whether a figure is good: the results are tables and plots.

mod contender;
mod counting_store;
mod floor;
mod leasehold_client;
mod libraries;
mod machine;
mod measures;
mod monotonic;
mod options;
mod own_calls;
mod peers;
mod report;
mod run;
mod server;
mod server_counts;
mod slices;
mod statistics;
mod table;
mod url;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let is_worker = std::env::args().nth(1).is_some_and(|first| first == worker::ARGUMENT);
    let done = match is_worker {
        true => worker::run().await,
        false => run::run(&Options::parse()).await,
    };
    if let Err(error) = &done {
        eprintln!("leasehold-bench: {error:#}");
    }
    if is_worker {
        // A read of standard input may be under way, for which the end of the runtime would wait.
        std::process::exit(i32::from(done.is_err()));
    }
    ExitCode::from(u8::from(done.is_err()))
}

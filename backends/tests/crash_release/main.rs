//! The leases of a process that has ended are released by its helper, and only then.
//!
//! This program is also the process that holds a lease, and its helper.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[cfg(unix)]
mod cases;
#[cfg(unix)]
mod holder;
#[cfg(unix)]
mod support;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Trial};

    leasehold::crash_release::helper_main();
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(holder::ARGUMENT) {
        let (way, url) = (arguments.next().unwrap(), arguments.next().unwrap());
        return holder::hold(&way, &url);
    }
    let trial = |&(name, case): &(&'static str, fn())| {
        Trial::test(name, move || {
            case();
            Ok(())
        })
    };
    let trials = cases::ALL.iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[cfg(not(unix))]
fn main() {}

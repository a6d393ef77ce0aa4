//! Many processes contend for one lock: each acquires it, and no two hold it at the same time.

use std::process::Stdio;

use crate::support::{Bench, Running};

#[test]
fn eight_processes_hold_the_lock_one_at_a_time() {
    let bench = Bench::new();
    // A write of few bytes to a file opened for appending is atomic, so lines stay in order.
    let script = "echo begin $LEASEHOLD_TOKEN >> log; sleep 0.05; echo end $LEASEHOLD_TOKEN >> log";
    let mut runs: Vec<_> = (0..8)
        .map(|_| {
            let mut command = bench.run(&["--ttl", "5s"], script);
            command.stdout(Stdio::null());
            Running::start(command)
        })
        .collect();
    for run in &mut runs {
        assert_eq!(run.exit(), 0);
    }
    let log = bench.text("log");
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 16, "{log}");
    let mut last = 0;
    for pair in lines.chunks(2) {
        let token: u64 = pair[0].strip_prefix("begin ").unwrap().parse().unwrap();
        assert_eq!(pair[1], format!("end {token}"), "two commands ran at once:\n{log}");
        assert!(last < token, "tokens do not grow:\n{log}");
        last = token;
    }
}

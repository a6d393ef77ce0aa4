//! Prometheus fetches metrics from `run` and `serve`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::{Bench, Running, assert_refused, wait_for, wait_until};

fn get(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Returns the address that a supervisor prints for its metrics.
fn address(run: &mut Running) -> String {
    let mut line = String::new();
    BufReader::new(run.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("leasehold: metrics at http://").expect(&line);
    url.strip_suffix("/metrics").unwrap().to_owned()
}

/// Returns the value of a series; `None` if it does not exist.
fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn run_exports_leadership_and_store_metrics() {
    let bench = Bench::new();
    let mut leader = bench.printer(&["--metrics", "127.0.0.1:0"]);
    bench.next_leader(0);
    let mut standby = bench.printer(&["--metrics", "127.0.0.1:0"]);
    let (leader, standby) = (address(&mut leader), address(&mut standby));
    let metrics = wait_for("the term to be counted", || {
        let metrics = get(&leader, "/metrics", "");
        value(&metrics, "leasehold_leading{lock=\"hello\"}")
            .filter(|it| *it == 1.0)
            .map(|_| metrics)
    });
    assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("# HELP leasehold_leading "), "{metrics}");
    assert_eq!(value(&metrics, "leasehold_terms_total{lock=\"hello\"}"), Some(1.0));
    // Histograms have buckets, which can be added up over instances.
    let bucket = "leasehold_store_call_seconds_bucket{operation=\"acquire\",le=\"+Inf\"}";
    assert!(value(&metrics, bucket).is_some_and(|count| count >= 1.0), "{metrics}");
    wait_until("the candidate's metric to be 0", || {
        let metrics = get(&standby, "/metrics", "");
        value(&metrics, "leasehold_leading{lock=\"hello\"}") == Some(0.0)
    });
    assert!(get(&leader, "/v1/locks", "").starts_with("HTTP/1.1 404 "), "only metrics are served");
    assert!(get(&leader, "/health/live", "").starts_with("HTTP/1.1 200 "));
}

#[test]
fn run_metrics_need_the_token() {
    let bench = Bench::new();
    let refused = bench.output(&["run", "--lock", "a", "--metrics", "0.0.0.0:0", "--", "true"]);
    assert_refused(&refused, 2, &["0.0.0.0:0", "token"]);

    let token = "0123456789abcdef0123456789abcdef";
    let mut command = bench.run(&["--metrics", "127.0.0.1:0"], "sleep 60");
    command.env("LEASEHOLD_ADMIN_TOKEN", token);
    let mut run = Running::start(command);
    let address = address(&mut run);
    assert!(get(&address, "/metrics", "").starts_with("HTTP/1.1 401 "));
    let shown = get(&address, "/metrics", &format!("authorization: Bearer {token}\r\n"));
    assert!(shown.starts_with("HTTP/1.1 200 "), "{shown}");
}

#[test]
fn a_taken_port_fails_before_the_command_runs() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused =
        bench.output(&["run", "--lock", "a", "--metrics", &address, "--", "touch", "ran"]);
    assert_refused(&refused, 1, &[&address]);
    assert!(!bench.path("ran").exists() && !bench.path("locks.db").exists());
}

/// An alert on a missing leader needs the series of candidates, even during an outage.
#[test]
#[cfg(feature = "postgres")]
fn metrics_show_no_leader_during_an_outage() {
    let bench = Bench::on("postgres://127.0.0.1:1/none");
    let mut run = Running::start(bench.run(&["--metrics", "127.0.0.1:0"], "true"));
    let metrics = get(&address(&mut run), "/metrics", "");
    assert_eq!(value(&metrics, "leasehold_leading{lock=\"hello\"}"), Some(0.0), "{metrics}");
}

//! These tests run `leasehold serve` in its own process.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bench, code, stderr, stdout};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn start(bench: &Bench, args: &[&str]) -> (Child, String) {
    started(&mut bench.leasehold(&[&["serve", "--listen", "127.0.0.1:0"], args].concat()))
}

fn started(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
    (child, address)
}

fn get(address: &str, headers: &str) -> String {
    get_path(address, "/v1/locks/hello", headers)
}

fn get_path(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn end(mut child: Child) {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(code(child.wait().unwrap()), 0);
}

#[test]
fn serve_matches_status_and_shuts_down_cleanly() {
    let bench = Bench::new();
    let (child, address) = start(&bench, &[]);
    assert_eq!(code(bench.output(&["disable", "hello", "--reason", "x"]).status), 0);
    let response = get(&address, "");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{response}");
    let read = |text: &str| {
        let mut lock: serde_json::Value = serde_json::from_str(text).unwrap();
        for field in ["since", "for_ms"] {
            lock["disabled"][field].take();
        }
        lock
    };
    let mut shown = read(&stdout(&bench.output(&["status", "hello", "--json"])));
    // Over HTTP the standbys are in the list of instances.
    shown.as_object_mut().unwrap().remove("standbys");
    assert_eq!(read(body), shown);
    end(child);
}

#[test]
fn serve_exports_its_calls_to_prometheus() {
    let bench = Bench::new();
    let (child, address) = start(&bench, &[]);
    get(&address, "");
    let metrics = get_path(&address, "/metrics", "");
    assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
    let calls = "leasehold_store_calls_total{operation=\"get\",outcome=\"ok\"} 1";
    assert!(metrics.lines().any(|line| line == calls), "{metrics}");
    end(child);
}

#[test]
fn serve_requires_its_token() {
    let bench = Bench::new();
    fs::write(bench.path("token"), format!("{TOKEN}\n")).unwrap();
    let (child, address) = start(&bench, &["--token-file", "token"]);
    assert!(get(&address, "").starts_with("HTTP/1.1 401 "));
    let response = get(&address, &format!("authorization: Bearer {TOKEN}\r\n"));
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    end(child);
}

/// Settings come from an option, the environment, a file or the default, as for every command.
#[test]
fn serve_settings_come_from_every_source() {
    let bench = Bench::new();
    let (from_file, from_variable) = ("f".repeat(32), "v".repeat(32));
    fs::write(bench.path("token"), &from_file).unwrap();
    let text = "listen = '127.0.0.1:0'\nadmin_token_file = 'token'\nmax_reads = 0\n";
    fs::write(bench.path("leasehold.toml"), text).unwrap();
    let shows = |address: &str, token: &str, status: &str| {
        let response = get(address, &format!("authorization: Bearer {token}\r\n"));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    };
    let (child, address) = started(&mut bench.leasehold(&["serve"]));
    shows(&address, &from_file, "429");
    end(child);

    let (child, address) = started(
        bench
            .leasehold(&["serve"])
            .env("LEASEHOLD_MAX_READS", "9")
            .env("LEASEHOLD_ADMIN_TOKEN", &from_variable),
    );
    shows(&address, &from_file, "401");
    shows(&address, &from_variable, "200");
    end(child);

    let (child, address) = started(
        bench
            .leasehold(&["serve", "--token-file", "token", "--max-reads", "9"])
            .env("LEASEHOLD_MAX_READS", "0")
            .env("LEASEHOLD_ADMIN_TOKEN", &from_variable),
    );
    shows(&address, &from_variable, "401");
    shows(&address, &from_file, "200");
    end(child);

    let shown = stdout(&bench.output(&["config", "--max-writes", "3", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    for (key, value, source) in [
        ("listen", serde_json::json!("127.0.0.1:0"), "file"),
        ("max_reads", 0.into(), "file"),
        ("max_writes", 3.into(), "option"),
        ("max_connections", 512.into(), "default"),
        ("tls_cert", serde_json::Value::Null, "default"),
    ] {
        let setting = &shown["settings"][key];
        assert_eq!((&setting["value"], &setting["source"]), (&value, &source.into()), "{key}");
    }
}

#[test]
fn unsafe_serve_settings_are_refused() {
    let bench = Bench::new();
    fs::write(bench.path("short"), "short").unwrap();
    for (args, message) in [
        (&["--listen", "0.0.0.0:0"][..], "without a token"),
        (&["--token-file", "short"], "option --token-file: \"short\": invalid token"),
        (&["--token-file", "missing"], "cannot read the token file"),
        (&["--tls-cert", "short"], "tls_cert is set (option --tls-cert), but not tls_key"),
        (
            &["--max-connections", "0"],
            "option --max-connections: \"0\" is not a valid count: no connection would be possible",
        ),
        (&["--max-reads", "-1"], "option --max-reads: \"-1\" is not a valid count"),
        (&["--listen", "localhost"], "use an IP address and a port"),
        (&["--tls-cert", "short", "--tls-key", "short"], "no certificate"),
    ] {
        let output = bench.output(&[&["serve"], args].concat());
        assert_eq!(code(output.status), 2, "{args:?}");
        assert!(stderr(&output).contains(message), "{output:?}");
    }
    let mut both = bench.leasehold(&["serve", "--listen", "127.0.0.1:0"]);
    both.env("LEASEHOLD_ADMIN_TOKEN", TOKEN).env("LEASEHOLD_ADMIN_TOKEN_FILE", "token");
    let output = both.output().unwrap();
    assert_eq!(code(output.status), 2);
    assert!(stderr(&output).contains("unset one"), "{output:?}");
}

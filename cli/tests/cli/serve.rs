//! `leasehold serve`: a server in a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bench, code, stderr, stdout};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn start(bench: &Bench, args: &[&str]) -> (Child, String) {
    let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
    let mut child = bench.leasehold(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
    (child, address)
}

fn get(address: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /v1/locks/hello HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn end(mut child: Child) {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(code(child.wait().unwrap()), 0);
}

#[test]
fn it_shows_what_status_shows_and_ends_in_order() {
    let bench = Bench::new();
    let (child, address) = start(&bench, &[]);
    assert_eq!(code(bench.output(&["disable", "hello", "--reason", "x"]).status), 0);
    let answer = get(&address, "");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    let read = |text: &str| {
        let mut lock: serde_json::Value = serde_json::from_str(text).unwrap();
        for field in ["since", "for_ms"] {
            lock["disabled"][field].take();
        }
        lock
    };
    assert_eq!(read(body), read(&stdout(&bench.output(&["status", "hello", "--json"]))));
    end(child);
}

#[test]
fn a_token_is_asked_for() {
    let bench = Bench::new();
    fs::write(bench.path("token"), format!("{TOKEN}\n")).unwrap();
    let (child, address) = start(&bench, &["--token-file", "token"]);
    assert!(get(&address, "").starts_with("HTTP/1.1 401 "));
    let answer = get(&address, &format!("authorization: Bearer {TOKEN}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    end(child);
}

#[test]
fn what_would_not_be_safe_is_refused() {
    let bench = Bench::new();
    fs::write(bench.path("short"), "short").unwrap();
    for (args, says) in [
        (&["--listen", "0.0.0.0:0"][..], "there is no token"),
        (&["--token-file", "short"], "token cannot be one"),
        (&["--token-file", "missing"], "cannot be read"),
        (&["--tls-cert", "short"], "--tls-key"),
        (&["--tls-cert", "short", "--tls-key", "short"], "no certificate"),
    ] {
        let output = bench.output(&[&["serve"], args].concat());
        assert_eq!(code(output.status), 2, "{args:?}");
        assert!(stderr(&output).contains(says), "{output:?}");
    }
    let mut both = bench.leasehold(&["serve", "--listen", "127.0.0.1:0"]);
    both.env("LEASEHOLD_ADMIN_TOKEN", TOKEN).env("LEASEHOLD_ADMIN_TOKEN_FILE", "token");
    let output = both.output().unwrap();
    assert_eq!(code(output.status), 2);
    assert!(stderr(&output).contains("unset one"), "{output:?}");
}

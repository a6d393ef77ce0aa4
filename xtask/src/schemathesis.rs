//! Checks the HTTP API against its own description: schemathesis sends many kinds of requests to a
//! running server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tools;
use crate::workspace::{cargo, target};

const SCHEMATHESIS: &str = "4.32.5";

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Builds the server with only the memory store, and checks it.
pub(crate) fn build_and_check() -> Result<()> {
    let package = ["build", "--package", "leasehold-cli", "--no-default-features"];
    cargo(&[&package[..], &["--features", "http"]].concat(), &[])?;
    check()
}

/// Checks the whole description except the stream of changes, whose response has no end. The server
/// is the one that was built last: the tests of the command line build it too.
pub(crate) fn check() -> Result<()> {
    let schemathesis = tools::install("schemathesis", "schemathesis", SCHEMATHESIS)?;
    let server = Server::start()?;
    eprintln!("\nschemathesis {SCHEMATHESIS} on {}", server.url);
    let status = Command::new(schemathesis)
        .args(["run", &format!("{}/openapi.json", server.url), "--url", &server.url])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--exclude-path", "/v1/events", "--phases", "examples,coverage,fuzzing"])
        // The server limits lengths in bytes, and the description in characters.
        .args(["--generation-codec", "ascii"])
        .args(["--max-examples", "200", "--seed", "1", "--continue-on-failure"])
        .current_dir(target()?)
        .status()
        .context("cannot run schemathesis")?;
    if !status.success() {
        bail!("the API differs from its description ({status})");
    }
    Ok(())
}

/// A process of `leasehold serve`, which ends when this is dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Result<Self> {
        let mut child = Command::new(target()?.join("debug/leasehold"))
            .args(["--store", "memory:", "serve", "--listen", "127.0.0.1:0"])
            .args(["--max-reads", "1000000", "--max-writes", "1000000"])
            .env("LEASEHOLD_ADMIN_TOKEN", TOKEN)
            .env_remove("LEASEHOLD_ADMIN_TOKEN_FILE")
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run leasehold serve")?;
        let mut printed = String::new();
        let stdout = child.stdout.take();
        let mut server = Self { child, url: String::new() };
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut printed)?;
        }
        let url = printed.trim().strip_prefix("listening on ");
        server.url = url.with_context(|| format!("serve printed {printed:?}"))?.to_owned();
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

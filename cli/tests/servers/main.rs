//! These tests use the command line on every server: real processes and real servers in containers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cases;
mod instances;
#[path = "../cli/support.rs"]
#[allow(dead_code, reason = "the tests on SQLite use more of it")]
mod support;

use std::panic::{catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use leasehold::{OpenOptions, url};
use leasehold_test_servers::{Image, Server, catalog, skipped, until_ready};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// Fifty instances, each with two or three connections, are more than the servers' defaults allow.
const POSTGRES: Image = Image {
    command: &[
        "postgres",
        "-c",
        "shared_preload_libraries=pg_stat_statements",
        "-c",
        "max_connections=500",
    ],
    ..catalog::POSTGRES
};
const MYSQL: Image = Image {
    command: &["--skip-log-bin", "--innodb-flush-log-at-trx-commit=2", "--max-connections=500"],
    ..catalog::MYSQL
};
const MARIADB: Image = Image { command: MYSQL.command, ..catalog::MARIADB };

/// Returns the server with enough connections for all instances of these tests.
fn with_connections(image: &'static Image) -> &'static Image {
    match image.name {
        "postgres" => &POSTGRES,
        "mysql" => &MYSQL,
        "mariadb" => &MARIADB,
        _ => image,
    }
}

/// A subject is a server that is started when the first test needs it.
struct Subject {
    image: &'static Image,
    url: OnceCell<(String, Option<Server>)>,
}

impl Subject {
    async fn url(&self) -> &str {
        let start = || async {
            if let Some(url) = self.image.given_url() {
                return (url, None);
            }
            let server = Server::start(self.image).await.unwrap();
            let url = self.image.url_at(&server.address());
            let open = || async {
                catalog::prepare(self.image, &server).await;
                url::open(&url, &OpenOptions::default()).await
            };
            until_ready(open).await.unwrap();
            (url, Some(server))
        };
        &self.url.get_or_init(start).await.0
    }

    /// Prints the last lines of the server's log, which may explain a failed case.
    async fn print_last_lines(&self) {
        if let Some((_, Some(server))) = self.url.get() {
            let lines = server.last_lines().await.unwrap_or_else(|error| format!("{error:?}"));
            eprintln!("{} printed last:\n{lines}", self.image.name);
        }
    }
}

fn main() -> ExitCode {
    let runtime = Arc::new(Runtime::new().unwrap());
    let wanted = catalog::ALL.iter().filter(|image| !skipped(image.name) && built(image));
    let subjects: Vec<_> = wanted
        .map(|image| Arc::new(Subject { image: with_connections(image), url: OnceCell::new() }))
        .collect();
    let trials = subjects.iter().flat_map(|subject| {
        let runtime = &runtime;
        cases::ALL.iter().map(move |(name, run)| {
            let (subject, runtime) = (Arc::clone(subject), Arc::clone(runtime));
            Trial::test(format!("{}::{name}", subject.image.name), move || {
                let url = runtime.block_on(subject.url());
                let outcome = catch_unwind(|| run(url));
                outcome.map_err(|panic| {
                    runtime.block_on(subject.print_last_lines());
                    resume_unwind(panic)
                })
            })
        })
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    // The containers are removed within the runtime.
    runtime.block_on(async { drop(subjects) });
    conclusion.exit_code()
}

/// Returns whether this build has the backend: etcd's is a feature that is off by default.
fn built(image: &Image) -> bool {
    url::schema(&image.url_at("127.0.0.1:1"), &OpenOptions::default()).is_ok()
}

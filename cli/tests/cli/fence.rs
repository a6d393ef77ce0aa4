//! `run --fence` raises the fence of the command's database before the command is started.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use crate::support::{Bench, Running, assert_refused, stderr, stdout, wait_until};

/// This command writes its token to a file.
const COMMAND: &str = "echo $LEASEHOLD_TOKEN > token";

/// Runs a statement on the command's database, and returns the number in its first row.
fn on_database(bench: &Bench, statement: &'static str) -> Option<i64> {
    let options =
        SqliteConnectOptions::new().filename(bench.path("app.db")).create_if_missing(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = options.connect().await.unwrap();
        let row = connection.fetch_optional(statement).await.unwrap();
        row.map(|row| sqlx::Row::get(&row, 0))
    })
}

fn fence(bench: &Bench) -> String {
    format!("sqlite:{}", bench.path("app.db").display())
}

fn token(bench: &Bench) -> Option<i64> {
    bench.text("token").trim().parse().ok()
}

#[test]
fn the_fence_is_raised_before_the_command_is_started() {
    let bench = Bench::new();
    on_database(&bench, "CREATE TABLE ledger (amount INTEGER)");
    for _ in 0..2 {
        let output = bench.run(&["--fence", &fence(&bench)], COMMAND).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let raised = on_database(&bench, "SELECT token FROM leasehold_fence");
        assert!(raised.is_some());
        assert_eq!(raised, token(&bench));
    }
}

/// The holder that came first may still write.
#[test]
fn the_fence_of_several_holders_is_raised_to_their_floor() {
    let bench = Bench::new();
    on_database(&bench, "CREATE TABLE ledger (amount INTEGER)");
    let fence = fence(&bench);
    let options = ["--permits", "2", "--ttl", "1h", "--fence", &fence];
    let script = "echo $LEASEHOLD_TOKEN > first; while :; do sleep 0.02; done";
    let _first = Running::start(bench.run(&options, script));
    wait_until("the first command", || bench.text("first").ends_with('\n'));
    let output = bench.run(&options, COMMAND).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let raised = on_database(&bench, "SELECT token FROM leasehold_fence");
    assert_eq!(raised, bench.text("first").trim().parse().ok());
    assert!(token(&bench) > raised);
}

/// The tokens of the lock are smaller than that of the fence, as after the locks were lost.
#[test]
fn the_command_of_a_stale_term_is_not_started() {
    let bench = Bench::new();
    on_database(&bench, "CREATE TABLE ledger (amount INTEGER)");
    let fence = fence(&bench);
    assert!(bench.run(&["--fence", &fence], "true").status().unwrap().success());
    on_database(&bench, "UPDATE leasehold_fence SET token = 9007199254740991");
    let output = bench.run(&["--fence", &fence], COMMAND).output().unwrap();
    assert_refused(
        &output,
        76,
        &["did not start the command", "a newer term has raised the fence"],
    );
    assert_eq!(token(&bench), None);
}

#[test]
fn the_command_is_not_started_without_its_fence() {
    let bench = Bench::new();
    // The database does not exist.
    let output = bench.run(&["--fence", &fence(&bench)], COMMAND).output().unwrap();
    assert_refused(&output, 76, &["did not start the command", "the fence cannot be raised"]);
    assert!(!stderr(&output).contains("lost lock"), "{}", stderr(&output));
    let output = bench.run(&["--fence", "memory:"], COMMAND).output().unwrap();
    assert_refused(&output, 2, &["there is no fence for this URL"]);
    assert_eq!(token(&bench), None);
}

/// A nested run must not raise the fence for its own lock.
#[test]
fn the_command_does_not_inherit_the_fence() {
    let bench = Bench::new();
    on_database(&bench, "CREATE TABLE ledger (amount INTEGER)");
    let mut run = bench.run(&[], "test -z \"$LEASEHOLD_FENCE\"");
    let output = run.env("LEASEHOLD_FENCE", fence(&bench)).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(on_database(&bench, "SELECT token FROM leasehold_fence").is_some());
}

#[test]
fn the_schema_of_the_fence_can_be_printed_for_migrations() {
    let bench = Bench::new();
    let args = ["--namespace", "billing", "schema", "--fence", &fence(&bench)];
    let output = bench.output(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = stdout(&output);
    assert!(printed.contains("CREATE TABLE IF NOT EXISTS billing_fence ("), "{printed}");
    // Nothing was created.
    assert!(!bench.path("app.db").exists());
    let output = bench.output(&["schema", "--fence", "memory:"]);
    assert_refused(&output, 2, &["there is no fence for this URL"]);
}

//! These cases cover containers on one kernel that have their own boot ids and clocks.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::{env, fs};

use leasehold::{AcquireOutcome, LeaseId, LockStore};
use leasehold_conformance::{CaseResult, Failure};
use tokio::process::Command;

use super::support::{asking, grant, name, open, place};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const DATABASE: &str = "LEASEHOLD_TEST_DATABASE";
const EXPECTED: &str = "LEASEHOLD_TEST_EXPECTED";

/// These are the ways in which a container is started: with its own boot id, and also with another
/// clock.
const CONTAINERS: [&[&str]; 2] =
    [&["--mount"], &["--mount", "--time", "--boottime", "100000", "--fork"]];

/// Returns a command that runs in a container with the boot id in that file, or `None` if no
/// container can be created.
async fn in_container(flags: &[&str], id: &Path, command: &[&str]) -> Option<Command> {
    for user in [&[][..], &["--map-root-user"]] {
        let mount = format!("mount --bind \"$1\" {BOOT_ID} && shift && exec \"$@\"");
        let unshare = || {
            let mut unshare = Command::new("unshare");
            unshare.args(user).args(flags).args(["sh", "-c", &mount, "sh"]).arg(id);
            unshare
        };
        let works = unshare().arg("true").output().await;
        if works.is_ok_and(|output| output.status.success()) {
            let mut unshare = unshare();
            unshare.args(command);
            return Some(unshare);
        }
    }
    None
}

/// Runs [`part_of_another_case_that_runs_in_a_container`] in a container, by this same program.
async fn run(flags: &[&str], id: &Path, database: &Path, expected: &str) -> Option<Output> {
    let program = env::current_exe().unwrap();
    let test = [
        "--exact",
        "sqlite::specific::part_of_another_case_that_runs_in_a_container",
        "--nocapture",
    ];
    let command = [&[program.to_str().unwrap()], &test[..]].concat();
    let mut command = in_container(flags, id, &command).await?;
    // Only this process counts its cases.
    command.env_remove("LEASEHOLD_TEST_COUNTS");
    Some(command.env(DATABASE, database).env(EXPECTED, expected).output().await.unwrap())
}

fn assert_passed(flags: &[&str], output: &Output) {
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{flags:?}: {output:?}");
}

pub(super) async fn a_lease_is_in_force_in_containers_with_another_boot_id() -> CaseResult {
    for flags in CONTAINERS {
        let (folder, path) = place();
        let id = folder.path().join("boot_id");
        fs::write(&id, "00000000-0000-4000-8000-000000000001\n").unwrap();
        let store = open(&path).await;
        let lease = LeaseId::new();
        let first = grant(&store, "a", lease).await;
        let Some(refused) = run(flags, &id, &path, "held").await else {
            let reason = format!("no container can be created here with {flags:?}");
            return Err(Failure::ignored(reason));
        };
        assert_passed(flags, &refused);
        assert_eq!(grant(&store, "a", lease).await.token, first.token, "{flags:?}");

        // In the other direction, the other container's lease outlives its process.
        store.release(&name("a"), lease).await.unwrap();
        let granted = run(flags, &id, &path, "granted").await.unwrap();
        assert_passed(flags, &granted);
        let outcome = store.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
        assert!(
            matches!(&outcome, AcquireOutcome::Held(held) if held.token > first.token),
            "{flags:?}: {outcome:?}"
        );
        assert!(store.get(&name("a")).await.unwrap().unwrap().lease.is_some(), "{flags:?}");
    }
    Ok(())
}

/// This is the part of the case above that runs in the container.
pub(super) async fn part_of_another_case_that_runs_in_a_container() -> CaseResult {
    let Some(path) = env::var_os(DATABASE).map(PathBuf::from) else {
        return Err(Failure::ignored("another case starts it in a container"));
    };
    let id = fs::read_to_string(BOOT_ID).unwrap();
    assert_eq!(id.trim(), "00000000-0000-4000-8000-000000000001");
    let store = open(&path).await;
    let outcome = store.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    let outcome = match outcome {
        AcquireOutcome::Granted(_) => "granted",
        AcquireOutcome::Held(_) => "held",
        AcquireOutcome::Queued(_) => "queued",
        AcquireOutcome::Disabled(_) => "disabled",
    };
    assert_eq!(outcome, env::var(EXPECTED).unwrap());
    Ok(())
}

//! These tests cover containers on one kernel that have their own boot ids and clocks.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use leasehold::{AcquireOutcome, LeaseId, LockStore};

use crate::{asking, grant, name, open, place};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const DATABASE: &str = "LEASEHOLD_TEST_DATABASE";
const EXPECTED: &str = "LEASEHOLD_TEST_EXPECTED";

/// These are the ways in which a container is started: with its own boot id, and also with another
/// clock.
const CONTAINERS: [&[&str]; 2] =
    [&["--mount"], &["--mount", "--time", "--boottime", "100000", "--fork"]];

/// Returns a command that runs in a container with the boot id in that file, or `None` if no
/// container can be created.
fn in_container(flags: &[&str], id: &Path, command: &[&str]) -> Option<Command> {
    for user in [&[][..], &["--map-root-user"]] {
        let mut unshare = Command::new("unshare");
        let mount = format!("mount --bind \"$1\" {BOOT_ID} && shift && exec \"$@\"");
        unshare.args(user).args(flags).args(["sh", "-c", &mount, "sh"]).arg(id);
        let works = unshare.arg("true").output().is_ok_and(|output| output.status.success());
        if works {
            let mut unshare = Command::new("unshare");
            unshare.args(user).args(flags).args(["sh", "-c", &mount, "sh"]).arg(id).args(command);
            return Some(unshare);
        }
    }
    None
}

fn run(flags: &[&str], id: &Path, database: &Path, expected: &str) -> Option<Output> {
    let program = env::current_exe().unwrap();
    let test = ["--exact", "containers::the_other_container", "--ignored", "--nocapture"];
    let command = [&[program.to_str().unwrap()], &test[..]].concat();
    let mut command = in_container(flags, id, &command)?;
    Some(command.env(DATABASE, database).env(EXPECTED, expected).output().unwrap())
}

#[tokio::test]
async fn a_lease_is_in_force_in_containers_with_another_boot_id() {
    for flags in CONTAINERS {
        let (folder, path) = place();
        let id = folder.path().join("boot_id");
        fs::write(&id, "00000000-0000-4000-8000-000000000001\n").unwrap();
        let store = open(&path).await;
        let lease = LeaseId::new();
        let first = grant(&store, "a", lease).await;
        let Some(refused) = run(flags, &id, &path, "held") else {
            eprintln!("skipped: no container can be made here with {flags:?}");
            continue;
        };
        assert!(refused.status.success(), "{flags:?}: {refused:?}");
        assert_eq!(grant(&store, "a", lease).await.token, first.token, "{flags:?}");

        // In the other direction, the other container's lease outlives its process.
        store.release(&name("a"), lease).await.unwrap();
        let granted = run(flags, &id, &path, "granted").unwrap();
        assert!(granted.status.success(), "{flags:?}: {granted:?}");
        let outcome = store.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
        assert!(
            matches!(&outcome, AcquireOutcome::Held(held) if held.token > first.token),
            "{flags:?}: {outcome:?}"
        );
        assert!(store.get(&name("a")).await.unwrap().unwrap().lease.is_some(), "{flags:?}");
    }
}

/// This is the part of the test above that runs in the container.
#[tokio::test]
#[ignore = "the test above starts it"]
async fn the_other_container() {
    let Some(path) = env::var_os(DATABASE).map(PathBuf::from) else { return };
    let id = fs::read_to_string(BOOT_ID).unwrap();
    assert_eq!(id.trim(), "00000000-0000-4000-8000-000000000001");
    let store = open(&path).await;
    let outcome = store.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    let outcome = match outcome {
        AcquireOutcome::Granted(_) => "granted",
        AcquireOutcome::Held(_) => "held",
        AcquireOutcome::Disabled(_) => "disabled",
    };
    assert_eq!(outcome, env::var(EXPECTED).unwrap());
}

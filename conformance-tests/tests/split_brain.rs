//! The cases between processes can fail: they catch a store that is separate in each process.

use std::env;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use async_trait::async_trait;
use leasehold_conformance::{Backend, OtherProcesses, Probes, Suite};
use leasehold_core::{LockStore, MemoryStore, Namespace, Result};

/// This is a backend that claims to be shared by processes, but gives each process its own store.
#[derive(Default)]
struct SplitBrain(MemoryStore);

#[async_trait]
impl Backend for SplitBrain {
    fn name(&self) -> &str {
        "split_brain"
    }

    async fn open(&self, _: &Namespace) -> Result<Arc<dyn LockStore>> {
        Ok(Arc::new(self.0.clone()))
    }

    async fn clean(&self, _: &Namespace) -> Result<()> {
        Ok(())
    }

    fn probes(&self) -> Probes<'_> {
        Probes::default().with_other_processes(self)
    }
}

#[async_trait]
impl OtherProcesses for SplitBrain {
    fn address(&self) -> String {
        "nowhere".to_owned()
    }

    async fn attach(&self, _: &str) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Self::default()))
    }
}

/// This variable is set in the process that runs the suite, and so in its workers.
const RUN_THE_SUITE: &str = "LEASEHOLD_SPLIT_BRAIN";

const MUST_FAIL: [&str; 2] = [
    "processes::holders_in_many_processes_never_overlap",
    "processes::takeover_from_a_killed_holder_waits_for_its_lease",
];

fn main() -> ExitCode {
    if env::var_os(RUN_THE_SUITE).is_some() {
        return Suite::new().backend(SplitBrain::default()).main();
    }
    let mut code = ExitCode::SUCCESS;
    for case in MUST_FAIL {
        let caught = is_caught(case);
        println!(
            "test split brain is caught by {case} ... {}",
            if caught { "ok" } else { "FAILED" }
        );
        if !caught {
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn is_caught(case: &str) -> bool {
    let Ok(this) = env::current_exe() else { return false };
    let name = format!("split_brain::{case}");
    let run = Command::new(this)
        .args(["--exact", &name])
        .env(RUN_THE_SUITE, "1")
        .env_remove("LEASEHOLD_TEST_COUNTS")
        .output();
    run.is_ok_and(|run| {
        let output = String::from_utf8_lossy(&run.stdout);
        !run.status.success() && output.contains("1 failed") && !output.contains("hangs")
    })
}

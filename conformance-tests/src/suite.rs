//! The runner: one test per case and backend.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};
use tokio::runtime::Runtime;

use crate::run::Subject;
use crate::{Backend, Verdict, cases, process};

/// The suite, on the backends it is given.
#[derive(Default)]
#[allow(missing_debug_implementations, reason = "it holds trait objects only")]
pub struct Suite {
    backends: Vec<Arc<dyn Backend>>,
}

impl Suite {
    /// Cases mostly wait, so more run at once than there are cores.
    const CASES_AT_ONCE: usize = 6;

    /// A suite on no backend yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs on that backend too.
    #[must_use]
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.backends.push(Arc::new(backend));
        self
    }

    /// Does what the command line says, as a test target's `main`: by default runs everything.
    ///
    /// It takes the arguments of `cargo test`, such as a filter, `--list` and `--test-threads`.
    /// Some cases start this same program as their worker processes, so call this first.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let runtime = match Runtime::new() {
            Ok(runtime) => Arc::new(runtime),
            Err(error) => {
                eprintln!("cannot start the runtime: {error}");
                return ExitCode::FAILURE;
            }
        };
        if let Some(code) = process::work_if_asked(&runtime, &self.backends) {
            return code;
        }
        process::allow_workers();
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(Self::CASES_AT_ONCE);
        let subjects: Vec<Arc<Subject>> =
            self.backends.into_iter().map(|backend| Arc::new(Subject::new(backend))).collect();
        let trials = subjects.iter().flat_map(|subject| trials(&runtime, subject)).collect();
        let conclusion = libtest_mimic::run(&arguments, trials);
        // Statics are never dropped, and neither would a server be that one of them owned.
        runtime.block_on(async {
            for subject in &subjects {
                subject.stop().await;
            }
        });
        conclusion.exit_code()
    }
}

fn trials(runtime: &Arc<Runtime>, subject: &Arc<Subject>) -> impl Iterator<Item = Trial> {
    cases::all().map(move |case| {
        let name = format!("{}::{}", subject.backend().name(), case.name());
        let (runtime, subject) = (Arc::clone(runtime), Arc::clone(subject));
        Trial::ignorable_test(name, move || match runtime.block_on(subject.run(case)) {
            Verdict::Passed => Ok(Completion::Completed),
            Verdict::Failed(failure) => Err(failure.to_string().into()),
            Verdict::Ignored(reason) => Ok(Completion::ignored_with(reason)),
        })
    })
}

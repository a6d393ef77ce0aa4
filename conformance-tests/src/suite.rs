//! The runner makes one test per case and backend.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use libtest_mimic::{Arguments, Completion, Trial};
use tokio::runtime::Runtime;

use crate::run::Subject;
use crate::{Backend, CaseResult, Verdict, cases, process};

/// This case belongs to only one backend. It receives that backend.
///
/// Its name follows that of the backend in the name of its test:
/// `specific::a_lease_outlives_a_restart`.
pub type OwnCase<B> = (&'static str, fn(Arc<B>) -> BoxFuture<'static, CaseResult>);

/// A suite runs the cases on its backends.
#[derive(Default)]
#[allow(missing_debug_implementations, reason = "it holds trait objects only")]
pub struct Suite {
    subjects: Vec<(Arc<Subject>, Vec<Own>)>,
}

type Run = Box<dyn Fn() -> BoxFuture<'static, CaseResult> + Send>;
type Own = (&'static str, Run);

impl Suite {
    /// This many cases run at a time. It is more than the number of cores because cases mostly
    /// wait.
    const CASES_AT_ONCE: usize = 6;

    /// Creates a suite without backends.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds that backend to the suite.
    #[must_use]
    pub fn backend(self, backend: impl Backend) -> Self {
        self.backend_with_cases(backend, &[])
    }

    /// Adds that backend to the suite, with cases that are specific to its datastore.
    #[must_use]
    pub fn backend_with_cases<B: Backend>(mut self, backend: B, own: &[OwnCase<B>]) -> Self {
        let backend = Arc::new(backend);
        let own = own.iter().map(|(name, run)| {
            let (backend, run) = (Arc::clone(&backend), *run);
            (*name, Box::new(move || run(Arc::clone(&backend))) as Run)
        });
        let own = own.collect();
        self.subjects.push((Arc::new(Subject::new(backend)), own));
        self
    }

    /// Runs the cases that the command line selects, as the `main` of a test target. By default it
    /// runs all of them.
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
        let subjects: Vec<_> =
            self.subjects.iter().map(|(subject, _)| Arc::clone(subject)).collect();
        if let Some(code) = process::work_if_asked(&runtime, subjects.iter().map(|s| s.backend())) {
            return code;
        }
        process::allow_workers();
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(Self::CASES_AT_ONCE);
        let trials = self
            .subjects
            .into_iter()
            .flat_map(|(subject, own)| trials(&runtime, &subject, own))
            .collect();
        let conclusion = libtest_mimic::run(&arguments, trials);
        // Statics are never dropped, so a server in a static would not be removed.
        runtime.block_on(async {
            for subject in &subjects {
                if let Some(count) = subject.count().await {
                    tell(&count);
                }
                subject.stop().await;
            }
        });
        conclusion.exit_code()
    }
}

/// Prints the last line, and appends it to the file in which a larger run collects such lines.
fn tell(line: &str) {
    println!("{line}");
    let Some(file) = std::env::var_os("LEASEHOLD_TEST_COUNTS") else { return };
    let file = OpenOptions::new().append(true).create(true).open(file);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{line}")) {
        eprintln!("cannot write the count: {error}");
    }
}

fn trials(runtime: &Arc<Runtime>, subject: &Arc<Subject>, own: Vec<Own>) -> Vec<Trial> {
    let of_all = cases::all().map(|case| {
        let (this, name) = (Arc::clone(subject), case.name());
        trial(runtime, subject, &name, async move { this.run(case).await })
    });
    let of_it = own.into_iter().map(|(name, run)| {
        let this = Arc::clone(subject);
        trial(runtime, subject, name, async move { this.run_own(name, run).await })
    });
    of_all.chain(of_it).collect()
}

fn trial(
    runtime: &Arc<Runtime>,
    subject: &Arc<Subject>,
    case: &str,
    run: impl Future<Output = Verdict> + Send + 'static,
) -> Trial {
    let name = format!("{}::{case}", subject.backend().name());
    let (runtime, subject) = (Arc::clone(runtime), Arc::clone(subject));
    Trial::ignorable_test(name, move || {
        let verdict = runtime.block_on(run);
        subject.note(&verdict);
        match verdict {
            Verdict::Passed => Ok(Completion::Completed),
            Verdict::Failed(failure) => Err(failure.to_string().into()),
            Verdict::Ignored(reason) => Ok(Completion::ignored_with(reason)),
        }
    })
}

//! The driver performs the actions of its machine.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Driver;
use crate::election::Leadership;
use crate::election::job_tasks::JobTasks;
use crate::election::machine::{Action, Role};
use crate::fencing_token::TokenFloor;
use crate::lease::machine::Request;
use crate::lease::{HintSpread, TrustDeadline};
use crate::{FencingToken, Moment};

impl Driver {
    pub(super) fn perform(&mut self, action: Action) {
        let name = self.name.as_str();
        match action {
            Action::Send(request) => {
                let is_attempt = matches!(request, Request::Acquire(_));
                if is_attempt {
                    self.hint_spread.request_sent();
                }
                self.requests.send(request);
                if is_attempt && self.requests.entry().is_some() {
                    self.hints.set_entry(self.requests.entry_lease());
                }
            }
            Action::Start { token, deadline } => self.start(token, deadline),
            Action::ExtendTrust(deadline) => {
                if let Some(tasks) = &self.tasks {
                    self.trust_expired = !tasks.leadership.trust.extend_and_notify(deadline);
                }
            }
            Action::EndTrust => self.with_tasks(|tasks| tasks.leadership.trust.expire_now(None)),
            Action::Stop(reason) => {
                self.requests.stop_renewing();
                info!(lock = name, %reason, "stepping down");
                self.metrics.term_stopping(&reason);
                self.with_tasks(|tasks| tasks.stop(reason));
            }
            Action::AbortStart => {
                error!(lock = name, "the lease has ended; aborting the job");
                self.with_tasks(|tasks| tasks.abort_start());
            }
            Action::AbortJob => {
                error!(
                    lock = name,
                    grace = ?self.timing.stop_grace,
                    "the job did not stop within its grace and is aborted; blocking work may \
                     continue, so the lease is not released and will expire"
                );
                self.metrics.stop_timed_out();
                self.status_sender.send_modify(|status| status.overruns += 1);
                self.with_tasks(|tasks| tasks.abort_all());
            }
            Action::NeverRelease => self.requests.never_release(),
        }
    }

    fn start(&mut self, token: FencingToken, deadline: Moment) {
        let (Some(job), Some(lease)) = (self.job.clone(), self.requests.lease()) else { return };
        // The reply to a renewal that was decided before the grant says that the entry waits.
        self.requests.stop_renewing();
        // A hint that is held back came before the grant.
        self.hint_spread = HintSpread::default();
        let Self { engine, name, .. } = self;
        info!(lock = name.as_str(), token = token.get(), "leading");
        let first_floor = self.requests.floor().unwrap_or(token);
        let leadership = Leadership {
            name: name.clone(),
            token,
            floor: Arc::new(TokenFloor::new(first_floor)),
            first_floor,
            lease,
            trust: Arc::new(TrustDeadline::new(deadline, engine.store.clock().clone())),
            cancellation: CancellationToken::new(),
            commands: self.commands.clone(),
        };
        let holder = engine.holder.clone();
        // The status changes before the job starts, perhaps on another thread: code that learns of
        // the term from the job finds it in the status, and can resign from it.
        self.status_sender.send_modify(|status| {
            status.role = Role::Leading;
            status.terms += 1;
            status.token = Some(token);
            status.leader = Some(holder);
            status.ahead = None;
        });
        let leading = self.metrics.term_started();
        let job_runtime = self.job_runtime.clone();
        let ends = self.ends_when_start_returns;
        let fence = self.fence.clone();
        self.tasks = Some(JobTasks::start(job_runtime, job, ends, fence, leadership, leading));
    }

    fn with_tasks(&mut self, act: impl FnOnce(&mut JobTasks)) {
        if let Some(tasks) = &mut self.tasks {
            act(tasks);
        }
    }
}

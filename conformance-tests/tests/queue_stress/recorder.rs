//! This store reports each entry of a queue: when it was asked for, its token, how long it lasts,
//! and when it leaves.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{AcquireOutcome, LeaseId, LockStore, RenewOutcome, Result, async_trait};

use crate::event::{Event, nanos, now, report};

#[derive(Debug)]
pub(crate) struct Recorder(pub(crate) Arc<dyn LockStore>);

#[async_trait]
impl Interceptor for Recorder {
    fn inner(&self) -> &dyn LockStore {
        &*self.0
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let sent = now();
        let leases: Vec<LeaseId> = match &request {
            Request::Enter(_, options) => {
                let (lease, weight) = (options.lease, options.weight);
                report(&Event::Enters { lease, weight, at: sent });
                vec![lease]
            }
            Request::Leave(_, lease) => {
                report(&Event::Leaves { lease: *lease, at: sent });
                Vec::new()
            }
            Request::Renew(leases) => leases.iter().map(|renewed| renewed.lease).collect(),
            _ => Vec::new(),
        };
        let reply = request.send_to(self.inner()).await?;
        match &reply {
            Reply::Enter(outcome) => {
                let standing = match outcome {
                    AcquireOutcome::Granted(grant) => Some((grant.token, grant.left, true)),
                    AcquireOutcome::Queued(queued) => Some((queued.token, queued.left, false)),
                    AcquireOutcome::Held(_) | AcquireOutcome::Disabled(_) => None,
                };
                if let (Some((token, left, holds)), Some(lease)) = (standing, leases.first()) {
                    report_standing(*lease, Some(token.get()), sent, left, holds);
                }
            }
            Reply::Renew(outcomes) => {
                for (lease, outcome) in leases.iter().zip(outcomes) {
                    match outcome {
                        RenewOutcome::Extended { left, .. } => {
                            report_standing(*lease, None, sent, *left, true);
                        }
                        RenewOutcome::Queued { left, .. } => {
                            report_standing(*lease, None, sent, *left, false);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(reply)
    }
}

fn report_standing(lease: LeaseId, token: Option<u64>, sent: u64, left: Duration, holds: bool) {
    report(&Event::Stands { lease, token, sent, at: now(), left: nanos(left), holds });
}

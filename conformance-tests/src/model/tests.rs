//! The model rejects wrong answers, and accepts all states that it cannot exclude.

mod entries;
mod orders;
mod records;
mod times;

use std::time::{Duration, Instant};

use leasehold_core::{
    AcquireOutcome, DisableOptions, DisableOutcome, Disablement, EnableOutcome, FencingToken,
    Grant, Held, Holder, LeaseId, LeaseRecord, LockName, LockRecord, Reason, ReleaseOutcome,
    RenewOutcome,
};

use super::{Answer, Attempt, Model, Precision, Renewed, Window};

const TTL: Duration = Duration::from_millis(300);

/// This model receives calls at times chosen by the test.
#[derive(Clone)]
struct ScriptedModel {
    model: Model,
    start: Instant,
    attempts: Vec<Attempt>,
}

impl ScriptedModel {
    fn new() -> Self {
        let attempt = |number| Attempt { number, id: LeaseId::new(), holder: Holder::current() };
        Self {
            model: Model::unused(),
            start: Instant::now(),
            attempts: (0..3).map(attempt).collect(),
        }
    }

    /// Returns the window of a call that lasted from `ms` for one millisecond.
    fn at(&self, ms: u64) -> Window {
        self.within(ms, ms + 1)
    }

    fn within(&self, before: u64, after: u64) -> Window {
        Window {
            before: self.start + Duration::from_millis(before),
            after: self.start + Duration::from_millis(after),
            precision: Precision { step: Duration::ZERO, notices: Duration::ZERO },
        }
    }

    fn acquires(&mut self, attempt: usize, reply: Option<AcquireOutcome>, at: Window) -> bool {
        let reply = reply.map(Answer::Outcome);
        self.model.acquire(&self.attempts[attempt], TTL, reply.as_ref(), at).is_ok()
    }

    fn renews(&mut self, attempt: usize, reply: Option<RenewOutcome>, at: Window) -> bool {
        let id = self.attempts[attempt].id;
        let renewed = Renewed { id, ttl: TTL, of_entry: false, reply: reply.as_ref() };
        self.model.renew(&[renewed], at).is_ok()
    }

    fn releases(&mut self, attempt: usize, reply: Option<ReleaseOutcome>, at: Window) -> bool {
        self.model.release(self.attempts[attempt].id, reply.as_ref(), at).is_ok()
    }

    fn disables(&mut self, reason: &str, reply: Option<DisableOutcome>, at: Window) -> bool {
        let options = DisableOptions::new(Reason::new(reason).unwrap());
        self.model.disable(&options, reply.as_ref(), at).is_ok()
    }

    fn enables(&mut self, reply: Option<EnableOutcome>, at: Window) -> bool {
        self.model.enable(reply.as_ref(), at).is_ok()
    }

    fn sees(&mut self, record: Option<&LockRecord>, at: Window) -> bool {
        self.model.see(record, at).is_ok()
    }

    fn held_by(&self, attempt: usize, token: u64, left: u64) -> AcquireOutcome {
        AcquireOutcome::Held(Held::new(
            self.attempts[attempt].holder.clone(),
            FencingToken::new(token).unwrap(),
            Duration::from_millis(left),
        ))
    }

    /// Returns the record of a name that the attempt holds, with token 5 and that much time left.
    fn record(&self, attempt: usize, left: u64) -> LockRecord {
        let Attempt { id, holder, .. } = self.attempts[attempt].clone();
        let left = Duration::from_millis(left);
        let lease = LeaseRecord::new(id, holder, left);
        unused().with_token(FencingToken::new(5).ok()).with_lease(lease)
    }
}

fn unused() -> LockRecord {
    LockRecord::unused(LockName::new("job").unwrap())
}

fn granted(token: u64, left: u64) -> Option<AcquireOutcome> {
    let (token, left) = (FencingToken::new(token).unwrap(), Duration::from_millis(left));
    Some(AcquireOutcome::Granted(Grant::new(token, left)))
}

fn extended(left: u64) -> Option<RenewOutcome> {
    Some(RenewOutcome::extended(Duration::from_millis(left)))
}

fn told_to_end(reason: &str, left: u64) -> Option<RenewOutcome> {
    let (reason, left) = (Reason::new(reason).unwrap(), Duration::from_millis(left));
    Some(RenewOutcome::disabled(reason, left))
}

fn since(reason: &str) -> Disablement {
    Disablement::new(Reason::new(reason).unwrap())
}

/// Returns a model of a name that the first attempt has held since the start, with token 5.
fn held() -> ScriptedModel {
    let mut model = ScriptedModel::new();
    assert!(model.acquires(0, granted(5, 300), model.at(0)));
    model
}

/// Asserts that each answer is rejected by a new model.
fn assert_all_rejected<T>(
    before: impl Fn() -> ScriptedModel,
    answers: impl IntoIterator<Item = T>,
    accepts: impl Fn(&mut ScriptedModel, T) -> bool,
) {
    for (number, answer) in answers.into_iter().enumerate() {
        assert!(!accepts(&mut before(), answer), "wrong answer {number} is accepted");
    }
}

#[test]
fn a_free_name_is_granted_for_its_ttl() {
    let others = ScriptedModel::new().held_by(1, 5, 100);
    let disabled = AcquireOutcome::Disabled(since("upkeep"));
    let wrong = [granted(5, 200), granted(5, 400), Some(others), Some(disabled)];
    assert_all_rejected(ScriptedModel::new, wrong, |model, wrong| {
        model.acquires(0, wrong, model.at(0))
    });
}

#[test]
fn a_refused_acquire_reports_the_holder() {
    let mut model = held();
    let right = model.held_by(0, 5, 200);
    assert!(model.acquires(1, Some(right), model.at(100)));
    assert_all_rejected(held, [granted(6, 300)], |model, wrong| {
        model.acquires(1, wrong, model.at(100))
    });
    for (holder, token, left) in [(1, 5, 200), (0, 6, 200), (0, 5, 300), (0, 5, 100)] {
        let mut model = held();
        let wrong = model.held_by(holder, token, left);
        assert!(!model.acquires(1, Some(wrong), model.at(100)), "{holder} {token} {left}");
    }
}

#[test]
fn a_retry_returns_the_same_grant() {
    let mut model = held();
    assert!(model.acquires(0, granted(5, 200), model.at(100)));
    let wrong = [granted(6, 200), granted(5, 300), granted(4, 200)];
    assert_all_rejected(held, wrong, |model, wrong| model.acquires(0, wrong, model.at(100)));
}

#[test]
fn tokens_increase() {
    let released = || {
        let mut model = held();
        assert!(model.releases(0, Some(ReleaseOutcome::Released), model.at(10)));
        model
    };
    assert_all_rejected(released, [granted(5, 300), granted(1, 300)], |model, wrong| {
        model.acquires(1, wrong, model.at(20))
    });
    assert!(released().acquires(1, granted(6, 300), released().at(20)));
    assert_all_rejected(held, [granted(5, 300)], |model, wrong| {
        model.acquires(0, wrong, model.at(400))
    });
}

#[test]
fn an_expired_lease_is_lost() {
    let mut model = held();
    assert!(model.renews(0, Some(RenewOutcome::Lost), model.at(400)));
    assert_all_rejected(held, [extended(300), told_to_end("upkeep", 0)], |model, wrong| {
        model.renews(0, wrong, model.at(400))
    });
    assert_all_rejected(held, [ReleaseOutcome::Released], |model, wrong| {
        model.releases(0, Some(wrong), model.at(400))
    });
    assert_all_rejected(held, [held().record(0, 1)], |model, wrong| {
        model.sees(Some(&wrong), model.at(400))
    });
}

#[test]
fn a_lease_in_force_is_not_lost() {
    assert_all_rejected(
        held,
        [Some(RenewOutcome::Lost), extended(200), extended(500)],
        |model, wrong| model.renews(0, wrong, model.at(200)),
    );
    assert_all_rejected(held, [ReleaseOutcome::NotHeld], |model, wrong| {
        model.releases(0, Some(wrong), model.at(200))
    });
}

#[test]
fn another_lease_id_renews_and_releases_nothing() {
    assert_all_rejected(held, [extended(300)], |model, wrong| {
        model.renews(1, wrong, model.at(100))
    });
    assert_all_rejected(held, [ReleaseOutcome::Released], |model, wrong| {
        model.releases(1, Some(wrong), model.at(100))
    });
}

#[test]
fn a_disabled_name_is_granted_to_nobody_and_renewed_by_nobody() {
    let disabled = || {
        let mut model = held();
        assert!(model.disables("upkeep", Some(DisableOutcome::Disabled), model.at(10)));
        model
    };
    let other = AcquireOutcome::Disabled(since("another reason"));
    assert_all_rejected(disabled, [granted(6, 300), Some(other)], |model, wrong| {
        model.acquires(1, wrong, model.at(400))
    });
    assert_all_rejected(disabled, [granted(5, 200)], |model, wrong| {
        model.acquires(0, wrong, model.at(100))
    });
    let wrong = [extended(300), told_to_end("another reason", 200), told_to_end("upkeep", 300)];
    assert_all_rejected(disabled, wrong, |model, wrong| model.renews(0, wrong, model.at(100)));
    assert_all_rejected(disabled, [DisableOutcome::Disabled], |model, wrong| {
        model.disables("again", Some(wrong), model.at(20))
    });
    let kept = DisableOutcome::AlreadyDisabled(since("again"));
    assert_all_rejected(disabled, [kept], |model, wrong| {
        model.disables("again", Some(wrong), model.at(20))
    });
    let mut model = disabled();
    assert!(model.renews(0, told_to_end("upkeep", 200), model.at(100)));
}

#[test]
fn an_ending_lease_is_not_renewed_after_enable() {
    let enabled = || {
        let mut model = held();
        assert!(model.disables("upkeep", Some(DisableOutcome::Disabled), model.at(10)));
        assert!(model.enables(Some(EnableOutcome::Enabled), model.at(20)));
        model
    };
    assert_all_rejected(enabled, [extended(300)], |model, wrong| {
        model.renews(0, wrong, model.at(100))
    });
    assert_all_rejected(enabled, [EnableOutcome::Enabled], |model, wrong| {
        model.enables(Some(wrong), model.at(30))
    });
    assert_all_rejected(enabled, [enabled().record(0, 290)], |model, wrong| {
        model.sees(Some(&wrong), model.at(10))
    });
    let mut model = enabled();
    assert!(model.renews(0, told_to_end("upkeep", 200), model.at(100)));
    assert!(model.acquires(1, granted(6, 300), model.at(400)));
    assert!(model.renews(1, extended(300), model.at(500)), "the next lease is a new one");
}

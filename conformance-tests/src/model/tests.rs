//! The model rejects wrong answers, and accepts all states that it cannot exclude.

use std::time::{Duration, Instant};

use leasehold_core::{
    AcquireOutcome, DisableOptions, DisableOutcome, Disablement, EnableOutcome, FencingToken,
    Grant, Held, Holder, LeaseId, LeaseRecord, LockName, LockRecord, Reason, ReleaseOutcome,
    RenewOutcome,
};

use super::{Attempt, Model, Precision, Window};

const TTL: Duration = Duration::from_millis(300);

/// This model receives calls at times chosen by the test.
#[derive(Clone)]
struct Told {
    model: Model,
    start: Instant,
    attempts: Vec<Attempt>,
}

impl Told {
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
        self.model.acquire(&self.attempts[attempt], TTL, reply.as_ref(), at).is_ok()
    }

    fn renews(&mut self, attempt: usize, reply: Option<RenewOutcome>, at: Window) -> bool {
        self.model.renew(self.attempts[attempt].id, TTL, reply.as_ref(), at).is_ok()
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
fn held() -> Told {
    let mut told = Told::new();
    assert!(told.acquires(0, granted(5, 300), told.at(0)));
    told
}

/// Asserts that each answer is rejected by a model of its own.
fn none_can_be<T>(
    before: impl Fn() -> Told,
    answers: impl IntoIterator<Item = T>,
    accepts: impl Fn(&mut Told, T) -> bool,
) {
    for (number, answer) in answers.into_iter().enumerate() {
        assert!(!accepts(&mut before(), answer), "wrong answer {number} is accepted");
    }
}

#[test]
fn a_free_name_is_granted_for_its_ttl() {
    let others = Told::new().held_by(1, 5, 100);
    let disabled = AcquireOutcome::Disabled(since("upkeep"));
    let wrong = [granted(5, 200), granted(5, 400), Some(others), Some(disabled)];
    none_can_be(Told::new, wrong, |told, wrong| told.acquires(0, wrong, told.at(0)));
}

#[test]
fn a_held_name_answers_who_holds_it() {
    let mut told = held();
    let right = told.held_by(0, 5, 200);
    assert!(told.acquires(1, Some(right), told.at(100)));
    none_can_be(held, [granted(6, 300)], |told, wrong| told.acquires(1, wrong, told.at(100)));
    for (holder, token, left) in [(1, 5, 200), (0, 6, 200), (0, 5, 300), (0, 5, 100)] {
        let mut told = held();
        let wrong = told.held_by(holder, token, left);
        assert!(!told.acquires(1, Some(wrong), told.at(100)), "{holder} {token} {left}");
    }
}

#[test]
fn a_retry_returns_the_same_grant() {
    let mut told = held();
    assert!(told.acquires(0, granted(5, 200), told.at(100)));
    let wrong = [granted(6, 200), granted(5, 300), granted(4, 200)];
    none_can_be(held, wrong, |told, wrong| told.acquires(0, wrong, told.at(100)));
}

#[test]
fn tokens_increase() {
    let released = || {
        let mut told = held();
        assert!(told.releases(0, Some(ReleaseOutcome::Released), told.at(10)));
        told
    };
    none_can_be(released, [granted(5, 300), granted(1, 300)], |told, wrong| {
        told.acquires(1, wrong, told.at(20))
    });
    assert!(released().acquires(1, granted(6, 300), released().at(20)));
    none_can_be(held, [granted(5, 300)], |told, wrong| told.acquires(0, wrong, told.at(400)));
}

#[test]
fn an_expired_lease_is_lost() {
    let mut told = held();
    assert!(told.renews(0, Some(RenewOutcome::Lost), told.at(400)));
    none_can_be(held, [extended(300), told_to_end("upkeep", 0)], |told, wrong| {
        told.renews(0, wrong, told.at(400))
    });
    none_can_be(held, [ReleaseOutcome::Released], |told, wrong| {
        told.releases(0, Some(wrong), told.at(400))
    });
    none_can_be(held, [held().record(0, 1)], |told, wrong| told.sees(Some(&wrong), told.at(400)));
}

#[test]
fn a_lease_in_force_is_not_lost() {
    none_can_be(held, [Some(RenewOutcome::Lost), extended(200), extended(500)], |told, wrong| {
        told.renews(0, wrong, told.at(200))
    });
    none_can_be(held, [ReleaseOutcome::NotHeld], |told, wrong| {
        told.releases(0, Some(wrong), told.at(200))
    });
}

/// A store may extend leases in one statement and read the result in another one.
#[test]
fn a_renewal_that_took_longer_than_its_ttl_may_be_lost() {
    let slow = |told: &Told| told.within(100, 500);
    let mut told = held();
    assert!(told.renews(0, Some(RenewOutcome::Lost), slow(&told)));
    assert!(!told.clone().renews(0, extended(300), told.at(501)), "an expired lease is renewed");
    assert!(told.acquires(1, granted(6, 300), told.at(501)));
}

#[test]
fn one_of_two_answers_is_accepted_around_the_end_of_a_lease() {
    let mut told = held();
    assert!(told.renews(0, extended(300), told.within(250, 350)));
    assert!(!told.renews(0, Some(RenewOutcome::Lost), told.at(360)), "it was extended");
    let mut told = held();
    assert!(told.renews(0, Some(RenewOutcome::Lost), told.within(250, 350)));
    assert!(!told.renews(0, extended(300), told.within(250, 350)), "an expired lease is renewed");
}

#[test]
fn a_store_that_notices_late_may_do_so() {
    let late = |told: &Told, ms| {
        let precision = Precision { step: Duration::ZERO, notices: Duration::from_millis(500) };
        Window { precision, ..told.at(ms) }
    };
    let mut told = held();
    assert!(told.renews(0, extended(300), late(&told, 700)));
    let mut told = held();
    assert!(!told.renews(0, extended(300), late(&told, 900)));
}

#[test]
fn another_id_renews_and_releases_nothing() {
    none_can_be(held, [extended(300)], |told, wrong| told.renews(1, wrong, told.at(100)));
    none_can_be(held, [ReleaseOutcome::Released], |told, wrong| {
        told.releases(1, Some(wrong), told.at(100))
    });
}

#[test]
fn a_disabled_name_is_granted_to_nobody_and_renewed_by_nobody() {
    let disabled = || {
        let mut told = held();
        assert!(told.disables("upkeep", Some(DisableOutcome::Disabled), told.at(10)));
        told
    };
    let other = AcquireOutcome::Disabled(since("another reason"));
    none_can_be(disabled, [granted(6, 300), Some(other)], |told, wrong| {
        told.acquires(1, wrong, told.at(400))
    });
    none_can_be(disabled, [granted(5, 200)], |told, wrong| told.acquires(0, wrong, told.at(100)));
    let wrong = [extended(300), told_to_end("another reason", 200), told_to_end("upkeep", 300)];
    none_can_be(disabled, wrong, |told, wrong| told.renews(0, wrong, told.at(100)));
    none_can_be(disabled, [DisableOutcome::Disabled], |told, wrong| {
        told.disables("again", Some(wrong), told.at(20))
    });
    let kept = DisableOutcome::AlreadyDisabled(since("again"));
    none_can_be(disabled, [kept], |told, wrong| told.disables("again", Some(wrong), told.at(20)));
    let mut told = disabled();
    assert!(told.renews(0, told_to_end("upkeep", 200), told.at(100)));
}

#[test]
fn a_lease_that_is_to_end_ends_after_enable_too() {
    let enabled = || {
        let mut told = held();
        assert!(told.disables("upkeep", Some(DisableOutcome::Disabled), told.at(10)));
        assert!(told.enables(Some(EnableOutcome::Enabled), told.at(20)));
        told
    };
    none_can_be(enabled, [extended(300)], |told, wrong| told.renews(0, wrong, told.at(100)));
    none_can_be(enabled, [EnableOutcome::Enabled], |told, wrong| {
        told.enables(Some(wrong), told.at(30))
    });
    none_can_be(enabled, [enabled().record(0, 290)], |told, wrong| {
        told.sees(Some(&wrong), told.at(10))
    });
    let mut told = enabled();
    assert!(told.renews(0, told_to_end("upkeep", 200), told.at(100)));
    assert!(told.acquires(1, granted(6, 300), told.at(400)));
    assert!(told.renews(1, extended(300), told.at(500)), "the next lease is a new one");
}

#[test]
fn a_record_reflects_the_calls_made() {
    let mut told = held();
    let right = told.record(0, 200);
    assert!(told.sees(Some(&right), told.at(100)));
    let lease = right.lease.clone().unwrap();
    let another_holder = LeaseRecord::new(lease.id, Holder::current(), lease.left);
    let wrong = [
        unused(),
        right.clone().with_token(None::<FencingToken>),
        right.clone().with_token(FencingToken::new(6).ok()),
        right.clone().with_disabled(since("upkeep")),
        right.clone().with_lease(told.record(1, 200).lease),
        right.clone().with_lease(told.record(0, 300).lease),
        right.clone().with_lease(another_holder),
        right.clone().with_lease(lease.with_ending(Reason::new("upkeep").ok())),
        right.with_lease(None::<LeaseRecord>),
    ];
    for (number, wrong) in wrong.iter().enumerate() {
        assert!(!told.clone().sees(Some(wrong), told.at(100)), "record {number} is accepted");
    }
    assert!(!told.sees(None, told.at(100)));
}

#[test]
fn a_name_that_was_never_used_has_no_record() {
    let mut told = Told::new();
    assert!(!told.sees(Some(&unused()), told.at(0)));
    assert!(told.sees(None, told.at(0)));
}

#[test]
fn a_lost_call_may_or_may_not_have_had_an_effect() {
    let lost = || {
        let mut told = Told::new();
        assert!(told.acquires(0, None, told.at(0)));
        told
    };
    // The lost call had no effect.
    let mut told = lost();
    assert!(told.sees(None, told.at(10)));
    none_can_be(
        || told.clone(),
        [lost().record(0, 280)],
        |told, wrong| told.sees(Some(&wrong), told.at(20)),
    );
    // The lost call had an effect, with the token that the next answer reports.
    let mut told = lost();
    assert!(told.acquires(0, granted(5, 250), told.at(50)));
    assert!(!told.clone().acquires(0, granted(6, 240), told.at(60)));
    assert!(told.renews(0, extended(300), told.at(60)));
    // The lost call may have had its effect at most once.
    let mut told = held();
    assert!(told.releases(0, None, told.at(10)));
    assert!(told.acquires(1, granted(6, 300), told.at(20)));
    assert!(!told.releases(0, Some(ReleaseOutcome::Released), told.at(30)));
}

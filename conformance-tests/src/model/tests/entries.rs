//! The rule of queues: what a store may say about entries.

use leasehold_core::{EnterOptions, EntryRecord, LockKind, Queued};

use super::*;

impl ScriptedModel {
    fn options(&self, attempt: usize, kind: LockKind) -> EnterOptions {
        let Attempt { id, holder, .. } = self.attempts[attempt].clone();
        EnterOptions::new(id, holder, TTL, kind)
    }

    fn enters(
        &mut self,
        attempt: usize,
        options: &EnterOptions,
        reply: Option<Answer>,
        at: Window,
    ) -> bool {
        self.model.enter(&self.attempts[attempt], options, reply.as_ref(), at).is_ok()
    }

    /// Renews the entries of these attempts by one call.
    fn renews_entries(&mut self, attempts: &[usize], replies: &[RenewOutcome], at: Window) -> bool {
        let renewed = attempts.iter().zip(replies).map(|(attempt, reply)| Renewed {
            id: self.attempts[*attempt].id,
            ttl: TTL,
            of_entry: true,
            reply: Some(reply),
        });
        let batch: Vec<Renewed<'_>> = renewed.collect();
        self.model.renew(&batch, at).is_ok()
    }

    fn leaves(&mut self, attempt: usize, reply: ReleaseOutcome, at: Window) -> bool {
        self.model.leave(self.attempts[attempt].id, Some(&reply), at).is_ok()
    }

    fn entry(&self, attempt: usize, token: u64, left: u64) -> EntryRecord {
        let Attempt { id, holder, .. } = self.attempts[attempt].clone();
        EntryRecord::new(id, holder, number(token), Duration::from_millis(left))
    }

    /// Returns the answer that the attempt waits behind that many entries, of which the first is
    /// that of attempt 0, with token 5.
    fn queued(&self, token: u64, left: u64, ahead: usize, recheck: u64) -> Answer {
        let [left, recheck] = [left, recheck].map(Duration::from_millis);
        let held = Held::new(self.attempts[0].holder.clone(), number(5), recheck);
        let queued = Queued::new(number(token), left, ahead, recheck, held);
        Answer::Outcome(AcquireOutcome::Queued(queued))
    }
}

fn number(token: u64) -> FencingToken {
    FencingToken::new(token).unwrap()
}

fn permits(count: u32) -> LockKind {
    LockKind::semaphore(count).unwrap()
}

/// Returns the answer that the entry holds the lock, with that token and floor.
fn holding(token: u64, floor: u64, left: u64) -> Answer {
    let grant = Grant::new(number(token), Duration::from_millis(left));
    Answer::Outcome(AcquireOutcome::Granted(grant.with_floor(number(floor))))
}

fn conflict(found: LockKind, requested: LockKind) -> Answer {
    Answer::Conflict(requested.conflict(found, &LockName::new("job").unwrap()).to_string())
}

fn still_holds(left: u64, floor: u64) -> RenewOutcome {
    RenewOutcome::extended_entry(Duration::from_millis(left), number(floor))
}

fn still_waits(left: u64, ahead: usize, recheck: u64) -> RenewOutcome {
    let [left, recheck] = [left, recheck].map(Duration::from_millis);
    RenewOutcome::queued(left, ahead, recheck)
}

/// Returns a model of a fair lock that attempt 0 holds with token 5. Attempt 1 has waited for it
/// since 100 ms later, with token 7.
fn with_waiter() -> ScriptedModel {
    let mut model = ScriptedModel::new();
    let [first, second] = [0, 1].map(|attempt| model.options(attempt, LockKind::Fair));
    assert!(model.enters(0, &first, Some(holding(5, 5, 300)), model.at(0)));
    let waits = model.queued(7, 300, 1, 200);
    assert!(model.enters(1, &second, Some(waits), model.at(100)));
    model
}

#[test]
fn an_entry_beyond_the_capacity_waits() {
    let before = || {
        let mut model = ScriptedModel::new();
        let first = model.options(0, permits(3)).with_weight(2);
        assert!(model.enters(0, &first, Some(holding(5, 5, 300)), model.at(0)));
        model
    };
    let entering = |model: &mut ScriptedModel, weight: u32, answer: Answer| {
        let options = model.options(1, permits(3)).with_weight(weight);
        model.enters(1, &options, Some(answer), model.at(100))
    };
    assert!(entering(&mut before(), 1, holding(7, 5, 300)));
    let waits = before().queued(7, 300, 1, 200);
    assert!(!entering(&mut before(), 1, waits), "there is room for it");
    assert!(!entering(&mut before(), 2, holding(7, 5, 300)), "there is no room for it");
    assert!(!entering(&mut before(), 1, holding(7, 7, 300)), "the floor is too large");
    assert!(!entering(&mut before(), 1, holding(4, 5, 300)), "the token is too small");
    let mut model = before();
    for (wrong, right) in [
        (model.queued(7, 300, 0, 200), false),
        (model.queued(7, 300, 1, 250), false),
        (model.queued(5, 300, 1, 200), false),
        (model.queued(7, 300, 1, 200), true),
    ] {
        let text = format!("{wrong:?}");
        assert_eq!(entering(&mut model.clone(), 2, wrong), right, "{text}");
    }
    // Nobody overtakes an entry that waits.
    let waits = model.queued(7, 300, 1, 200);
    assert!(entering(&mut model, 2, waits));
    let light = model.options(2, permits(3));
    assert!(!model.clone().enters(2, &light, Some(holding(8, 5, 300)), model.at(100)));
    let waits = model.queued(8, 300, 2, 200);
    assert!(model.enters(2, &light, Some(waits), model.at(100)));
}

#[test]
fn an_attempt_that_does_not_wait_makes_no_entry_that_would_have_to() {
    let mut model = with_waiter();
    let third = model.options(2, LockKind::Fair).without_waiting();
    let waits = model.queued(8, 300, 2, 200);
    assert!(!model.clone().enters(2, &third, Some(waits), model.at(100)));
    let held = Answer::Outcome(model.held_by(0, 5, 200));
    assert!(model.enters(2, &third, Some(held), model.at(100)));
    assert!(model.renews_entries(&[2], &[RenewOutcome::Lost], model.at(110)));
}

#[test]
fn a_retry_gets_the_standing_of_its_entry() {
    let model = with_waiter();
    let options = model.options(1, LockKind::Fair);
    for (answer, right) in [
        (model.queued(7, 250, 1, 150), true),
        (model.queued(7, 300, 1, 150), false),
        (model.queued(8, 250, 1, 150), false),
        (holding(7, 5, 250), false),
    ] {
        let text = format!("{answer:?}");
        let at = model.at(150);
        assert_eq!(model.clone().enters(1, &options, Some(answer), at), right, "{text}");
    }
}

#[test]
fn a_waiter_holds_the_lock_once_those_ahead_have_left_or_expired() {
    let mut model = with_waiter();
    assert!(!model.clone().renews_entries(&[1], &[still_holds(300, 5)], model.at(200)));
    assert!(model.renews_entries(&[1], &[still_waits(300, 1, 100)], model.at(200)));
    let mut left = model.clone();
    assert!(left.leaves(0, ReleaseOutcome::Released, left.at(210)));
    assert!(!left.clone().renews_entries(&[1], &[still_waits(300, 1, 90)], left.at(220)));
    assert!(!left.clone().renews_entries(&[1], &[still_holds(300, 5)], left.at(220)), "the floor");
    assert!(left.renews_entries(&[1], &[still_holds(300, 7)], left.at(220)));
    assert!(left.leaves(0, ReleaseOutcome::NotHeld, left.at(230)));
    // The first entry has expired.
    assert!(!model.clone().renews_entries(&[0], &[still_holds(300, 5)], model.at(400)));
    assert!(model.renews_entries(&[1], &[still_holds(300, 7)], model.at(400)));
    assert!(model.renews_entries(&[0], &[RenewOutcome::Lost], model.at(410)));
}

/// A store may renew the entries of a queue together, or one by one in any order.
#[test]
fn entries_of_one_batch_are_renewed_in_any_order() {
    for recheck in [100, 300] {
        for [first, second] in [[0, 1], [1, 0]] {
            let mut model = with_waiter();
            let replies = [still_holds(300, 5), still_waits(300, 1, recheck)];
            let replies = [first, second].map(|attempt: usize| replies[attempt].clone());
            assert!(model.renews_entries(&[first, second], &replies, model.at(200)), "{recheck}");
        }
    }
    let mut model = with_waiter();
    let wrong = [still_holds(300, 5), still_holds(300, 5)];
    assert!(!model.renews_entries(&[0, 1], &wrong, model.at(200)));
}

#[test]
fn a_name_in_use_as_one_kind_is_refused_as_another() {
    let model = with_waiter();
    let other = model.options(2, permits(2));
    let (fair, exclusive) = (LockKind::Fair, LockKind::Exclusive);
    for (answer, right) in [
        (conflict(fair, permits(2)), true),
        (conflict(permits(3), permits(2)), false),
        (holding(8, 5, 300), false),
    ] {
        assert_eq!(model.clone().enters(2, &other, Some(answer), model.at(110)), right);
    }
    let acquires = |answer: Answer| {
        let mut model = model.clone();
        let at = model.at(110);
        model.model.acquire(&model.attempts[2], TTL, Some(&answer), at).is_ok()
    };
    assert!(acquires(conflict(fair, exclusive)));
    assert!(!acquires(Answer::Outcome(granted(8, 300).unwrap())));
    assert!(!acquires(Answer::Outcome(model.held_by(0, 5, 190))));
    // The name has an exclusive lease.
    let options = held().options(1, fair);
    let refused = Some(conflict(exclusive, fair));
    assert!(held().enters(1, &options, refused, held().at(10)));
    assert!(!held().enters(1, &options, Some(holding(6, 6, 300)), held().at(10)));
}

#[test]
fn entries_of_a_disabled_name_must_leave_also_after_an_enable() {
    let mut model = with_waiter();
    let disabled = || Some(Answer::Outcome(AcquireOutcome::Disabled(since("upkeep"))));
    assert!(model.disables("upkeep", Some(DisableOutcome::Disabled), model.at(110)));
    let (second, third) = (model.options(1, LockKind::Fair), model.options(2, LockKind::Fair));
    for (attempt, options) in [(1, &second), (2, &third)] {
        assert!(model.clone().enters(attempt, options, disabled(), model.at(120)));
    }
    let waits = model.queued(8, 300, 2, 180);
    assert!(!model.clone().enters(2, &third, Some(waits), model.at(120)));
    assert!(model.enables(Some(EnableOutcome::Enabled), model.at(130)));
    let waits = model.queued(8, 300, 2, 160);
    assert!(model.enters(2, &third, Some(waits), model.at(140)));
    assert!(model.leaves(0, ReleaseOutcome::Released, model.at(150)));
    // The second entry would hold the lock now.
    let would_hold = Some(holding(7, 7, 240));
    assert!(!model.clone().enters(1, &second, would_hold, model.at(160)));
    assert!(!model.clone().renews_entries(&[1], &[still_holds(300, 7)], model.at(160)));
    assert!(model.enters(1, &second, disabled(), model.at(160)));
    let told = told_to_end("upkeep", 240).unwrap();
    assert!(model.renews_entries(&[1], &[told], model.at(160)));
    assert!(model.renews_entries(&[2], &[still_waits(300, 1, 230)], model.at(170)));
}

#[test]
fn a_record_shows_the_queue() {
    let model = with_waiter();
    let [first, second] = [model.entry(0, 5, 150), model.entry(1, 7, 250)];
    let record = unused().with_token(FencingToken::new(7).ok());
    let shown = |entries: &[&EntryRecord]| {
        let entries = entries.iter().map(|entry| (*entry).clone()).collect();
        record.clone().with_queue(LockKind::Fair, entries)
    };
    assert!(model.clone().sees(Some(&shown(&[&first, &second])), model.at(150)));
    let ending = second.clone().with_ending(Reason::new("upkeep").ok());
    let both = vec![first.clone(), second.clone()];
    for (number, wrong) in [
        shown(&[&first]),
        shown(&[&second]),
        shown(&[&first, &second.clone().with_weight(2)]),
        shown(&[&first, &ending]),
        shown(&[&first, &model.entry(1, 6, 250)]),
        shown(&[&first, &model.entry(1, 7, 300)]),
        shown(&[&first, &model.entry(2, 7, 250)]),
        record.clone().with_queue(permits(1), both.clone()),
        unused().with_token(FencingToken::new(8).ok()).with_queue(LockKind::Fair, both),
        record.clone(),
    ]
    .iter()
    .enumerate()
    {
        assert!(!model.clone().sees(Some(wrong), model.at(150)), "record {number} is accepted");
    }
}

#[test]
fn a_lost_attempt_may_or_may_not_have_an_entry() {
    let mut model = ScriptedModel::new();
    let [first, second] = [0, 1].map(|attempt| model.options(attempt, LockKind::Fair));
    assert!(model.enters(0, &first, None, model.at(0)));
    let mut alone = model.clone();
    assert!(alone.enters(1, &second, Some(holding(5, 5, 300)), alone.at(10)));
    assert!(alone.renews_entries(&[0], &[RenewOutcome::Lost], alone.at(20)));
    let waits = model.queued(7, 300, 1, 290);
    assert!(model.enters(1, &second, Some(waits), model.at(10)));
    // The answer to the second attempt has the token of the first.
    assert!(!model.clone().renews_entries(&[0], &[still_holds(300, 6)], model.at(20)));
    assert!(model.renews_entries(&[0], &[still_holds(300, 5)], model.at(20)));
}

//! Records show what the calls did, also those whose answers were lost.

use super::*;

#[test]
fn a_record_reflects_the_calls_made() {
    let mut model = held();
    let right = model.record(0, 200);
    assert!(model.sees(Some(&right), model.at(100)));
    let lease = right.lease.clone().unwrap();
    let another_holder = LeaseRecord::new(lease.id, Holder::current(), lease.left);
    let wrong = [
        unused(),
        right.clone().with_token(None::<FencingToken>),
        right.clone().with_token(FencingToken::new(6).ok()),
        right.clone().with_disabled(since("upkeep")),
        right.clone().with_lease(model.record(1, 200).lease),
        right.clone().with_lease(model.record(0, 300).lease),
        right.clone().with_lease(another_holder),
        right.clone().with_lease(lease.with_ending(Reason::new("upkeep").ok())),
        right.with_lease(None::<LeaseRecord>),
    ];
    for (number, wrong) in wrong.iter().enumerate() {
        assert!(!model.clone().sees(Some(wrong), model.at(100)), "record {number} is accepted");
    }
    assert!(!model.sees(None, model.at(100)));
}

#[test]
fn a_never_used_name_has_no_record() {
    let mut model = ScriptedModel::new();
    assert!(!model.sees(Some(&unused()), model.at(0)));
    assert!(model.sees(None, model.at(0)));
}

#[test]
fn a_lost_call_may_or_may_not_have_had_an_effect() {
    let lost = || {
        let mut model = ScriptedModel::new();
        assert!(model.acquires(0, None, model.at(0)));
        model
    };
    // The lost call had no effect.
    let mut model = lost();
    assert!(model.sees(None, model.at(10)));
    assert_all_rejected(
        || model.clone(),
        [lost().record(0, 280)],
        |model, wrong| model.sees(Some(&wrong), model.at(20)),
    );
    // The lost call had an effect, with the token that the next answer reports.
    let mut model = lost();
    assert!(model.acquires(0, granted(5, 250), model.at(50)));
    assert!(!model.clone().acquires(0, granted(6, 240), model.at(60)));
    assert!(model.renews(0, extended(300), model.at(60)));
    // The lost call may have had its effect at most once.
    let mut model = held();
    assert!(model.releases(0, None, model.at(10)));
    assert!(model.acquires(1, granted(6, 300), model.at(20)));
    assert!(!model.releases(0, Some(ReleaseOutcome::Released), model.at(30)));
}

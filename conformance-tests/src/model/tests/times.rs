//! The model does not know the exact time of a decision.

use super::*;

/// A store may extend leases in one statement and read the result in another one.
#[test]
fn a_renewal_that_took_longer_than_its_ttl_may_be_lost() {
    let slow = |model: &ScriptedModel| model.within(100, 500);
    let mut model = held();
    assert!(model.renews(0, Some(RenewOutcome::Lost), slow(&model)));
    assert!(!model.clone().renews(0, extended(300), model.at(501)), "an expired lease is renewed");
    assert!(model.acquires(1, granted(6, 300), model.at(501)));
}

#[test]
fn either_answer_is_accepted_around_the_end_of_a_lease() {
    let mut model = held();
    assert!(model.renews(0, extended(300), model.within(250, 350)));
    assert!(!model.renews(0, Some(RenewOutcome::Lost), model.at(360)), "it was extended");
    let mut model = held();
    assert!(model.renews(0, Some(RenewOutcome::Lost), model.within(250, 350)));
    assert!(!model.renews(0, extended(300), model.within(250, 350)), "an expired lease is renewed");
}

#[test]
fn expiry_may_be_noticed_within_the_stated_delay() {
    let late = |model: &ScriptedModel, ms| {
        let precision = Precision { step: Duration::ZERO, notices: Duration::from_millis(500) };
        Window { precision, ..model.at(ms) }
    };
    let mut model = held();
    assert!(model.renews(0, extended(300), late(&model, 700)));
    let mut model = held();
    assert!(!model.renews(0, extended(300), late(&model, 900)));
}

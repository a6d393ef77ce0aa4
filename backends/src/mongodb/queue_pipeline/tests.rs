use std::time::Duration;

use super::super::pipeline::new_mark;
use super::*;
use crate::{Holder, LockKind};

/// Returns each stage that sets fields, and the fields.
fn sets(stages: &[Document]) -> Vec<&Document> {
    stages.iter().map(|stage| stage.get_document("$set").unwrap()).collect()
}

fn entering(lease: LeaseId) -> Vec<Document> {
    let holder = Holder::current();
    let options = EnterOptions::new(lease, holder, Duration::from_secs(1), LockKind::Fair);
    let marks = AcquireMarks { granted: new_mark(), repeated: new_mark() };
    enter(&LockName::new("$$NOW").unwrap(), &options, "$secret", 1_000, &marks)
}

/// A document that a pipeline does not mark stays as it is, so that the server writes nothing.
#[test]
fn only_a_marked_document_is_changed() {
    let lease = LeaseId::new();
    for stages in [entering(lease), renew(lease, 1_000, "mark"), leave(lease, "mark")] {
        let sets = sets(&stages);
        let (decision, changes) = sets.split_first().unwrap();
        assert_eq!(decision.keys().collect::<Vec<_>>(), ["call"]);
        for (field, value) in changes.iter().flat_map(|fields| fields.iter()) {
            let choice = value.as_document().unwrap().get_array("$cond").unwrap();
            assert_eq!(choice[2], Bson::from(format!("${field}")));
            assert!(choice[0].to_string().contains("$call"), "{field}: {value}");
        }
    }
}

/// The time at which a command began may be earlier than that of a decision before it.
#[test]
fn each_change_of_a_queue_writes_the_clock_of_its_decision() {
    let lease = LeaseId::new();
    let later = doc! { "$max": [now(), "$clock"] }.to_string();
    for stages in [entering(lease), renew(lease, 1_000, "mark"), leave(lease, "mark")] {
        let changes = sets(&stages)[1];
        let clock = changes.get_document("clock").unwrap().get_array("$cond").unwrap();
        assert_eq!(clock[1], Bson::from(super::clock()));
        assert!(clock[1].to_string().contains(&later), "{}", clock[1]);
        assert!(changes.get("queue").unwrap().to_string().contains(&later));
    }
}

#[test]
fn values_of_callers_are_literals() {
    let text = Bson::from(entering(LeaseId::new())).to_string();
    for value in ["$secret", "$$NOW"] {
        let literal = Bson::from(literal(value)).to_string();
        assert!(text.contains(&literal), "{literal}");
    }
    assert_eq!(text.matches("\"$secret\"").count(), 1);
}

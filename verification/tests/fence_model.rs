//! The protocol of the fence keeps all rules in every order of its statements, and the search
//! notices when a rule is removed.

use leasehold_verification::export_figure;
use leasehold_verification::fence_model::{FenceModel, Isolation, Mutation};

const BOTH: [Isolation; 2] = [Isolation::ReadCommitted, Isolation::Snapshot];

fn explore(terms: usize, transactions: usize, crashes: usize) {
    for isolation in BOTH {
        let model = FenceModel::new(terms, transactions, isolation).crashes(crashes);
        let explored = model.explore();
        export_figure(&format!(
            "fence model: {terms} terms with {transactions} transactions each, {crashes} crashes, \
             {isolation:?}: {explored}"
        ));
        assert!(explored.is_complete, "{explored}");
    }
}

#[test]
fn rules_hold_with_two_terms_and_two_transactions_each() {
    explore(2, 2, 2);
}

#[test]
fn rules_hold_with_two_terms_and_three_transactions_each() {
    explore(2, 3, 2);
}

#[test]
fn rules_hold_with_three_terms_and_a_transaction_each() {
    explore(3, 1, 3);
}

#[test]
fn rules_hold_with_three_terms_and_two_transactions_each() {
    explore(3, 2, 0);
}

/// Asserts that the search breaks that rule once the mutation is applied, at each of these levels.
fn breaks(mutation: Mutation, isolations: &[Isolation], rule: &'static str) {
    for isolation in isolations {
        let model = FenceModel::new(2, 2, *isolation).without(mutation);
        let explored = model.find_counterexample(rule);
        println!("{mutation:?}, {isolation:?}: {explored}");
        let broken = explored.counterexamples.iter().any(|(broken, _)| *broken == rule);
        assert!(broken, "{isolation:?}: {mutation:?} does not break {rule}");
    }
}

const DRAINED: &str = "once a raise has returned, no older transaction commits";
const INTENT_REFUSES: &str = "a check that begins after a newer intent is refused";

#[test]
fn a_raise_without_intent_is_caught() {
    breaks(Mutation::NoIntent, &BOTH, INTENT_REFUSES);
}

#[test]
fn an_intent_that_is_not_committed_first_is_caught() {
    breaks(Mutation::IntentWithRow, &BOTH, INTENT_REFUSES);
}

#[test]
fn lowering_the_intent_is_caught() {
    breaks(Mutation::LoweredIntent, &BOTH, INTENT_REFUSES);
}

#[test]
fn lowering_the_row_is_caught() {
    let rule = "the newest term is not refused once its raise has returned";
    breaks(Mutation::LoweredRow, &BOTH, rule);
}

#[test]
fn returning_before_the_row_is_set_is_caught() {
    breaks(Mutation::ReturnsAfterIntent, &BOTH, DRAINED);
}

#[test]
fn returning_at_the_limit_is_caught() {
    breaks(Mutation::ReturnsAtLimit, &BOTH, DRAINED);
}

#[test]
fn a_check_without_a_lock_is_caught() {
    breaks(Mutation::NoLock, &BOTH, DRAINED);
}

#[test]
fn deciding_by_a_row_read_before_its_lock_is_caught() {
    breaks(Mutation::StaleRow, &BOTH, DRAINED);
}

#[test]
fn accepting_an_older_row_is_caught() {
    let rule = "no transaction commits after one of a newer term";
    breaks(Mutation::OlderRowAccepted, &BOTH, rule);
}

#[test]
fn an_exclusive_check_is_caught() {
    let rule = "transactions of one term do not wait for each other";
    breaks(Mutation::ExclusiveLock, &BOTH, rule);
}

#[test]
fn a_check_that_upgrades_its_lock_is_caught() {
    breaks(Mutation::UpgradedLock, &BOTH, "checks do not deadlock");
}

#[test]
fn a_check_of_the_lock_s_own_row_is_caught() {
    breaks(Mutation::LocksLockRow, &BOTH, "a heartbeat does not wait for a transaction");
}

#[test]
fn a_snapshot_from_before_the_lock_is_caught() {
    let rule = "a transaction sees what older terms have committed";
    // A check may wait beside its own term's raise, which waits for an older transaction.
    breaks(Mutation::SnapshotBeforeLock, &[Isolation::ReadCommitted], rule);
}

#[test]
fn reading_before_the_check_is_caught() {
    let rule = "a transaction sees what older terms have committed";
    // Where the first statement takes the snapshot, the check itself reads the old row.
    breaks(Mutation::ReadBeforeCheck, &[Isolation::ReadCommitted], rule);
}

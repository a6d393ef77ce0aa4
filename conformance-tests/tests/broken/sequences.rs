//! Random sequences of calls find the faults that show in answers, and are shrunk to a few steps.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use leasehold_conformance::{Verdict, run_case};

use super::{Broken, Fault};

/// These are the faults that show in the answers of single calls.
const IN_ANSWERS: &[Fault] = &[
    Fault::EndsEarly,
    Fault::TokenRestartsAfterRelease,
    Fault::TokenRestartsAfterExpiry,
    Fault::RetryGrantsAgain,
    Fault::RetryExtends,
    Fault::RenewRevives,
    Fault::RenewInserts,
    Fault::RenewIgnoresTheId,
    Fault::RenewExtendsAll,
    Fault::BatchAnswersInAnotherOrder,
    Fault::ReleaseIgnoresTheId,
    Fault::ClientClock,
    Fault::ReleaseForgetsDisable,
    Fault::RenewForgetsDisable,
    Fault::GrantForgetsDisable,
    Fault::HolderOutlivesDisable,
    Fault::EnableForgetsTheEnd,
    Fault::DisableReplacesTheReason,
    Fault::EnableInserts,
    Fault::FoldsCase,
];

/// These are faults of queues that show in the answers of single calls, after few others.
const IN_ANSWERS_OF_QUEUES: &[Fault] = &[
    Fault::IgnoresWeights,
    Fault::RetryEntersAgain,
    Fault::RetryExtendsTheEntry,
    Fault::WaitsAnyway,
    Fault::MixesKinds,
    Fault::EnterIgnoresTheLease,
    Fault::AcquireIgnoresEntries,
    Fault::EntryTokensRestart,
    Fault::FloorIsTheOwnToken,
    Fault::EnterForgetsDisable,
    Fault::WaitersAreNotExtended,
    Fault::RenewGrantsWaiters,
    Fault::BatchAnswersEntriesLast,
    Fault::LeaveIgnoresTheId,
    Fault::LeaveKeepsWaiters,
];

/// Asserts that random sequences find each of these faults, and that the reported sequence has few
/// steps.
async fn assert_found_in_sequences(faults: &[Fault], case: &'static str) {
    let sound = run_case(Arc::new(Broken::new(None)), case).await;
    assert!(matches!(sound, Verdict::Passed), "{case} on a sound store: {sound:?}");
    let runs = faults.iter().map(|fault| async move { (fault, find(*fault, case).await) });
    // Only a few run at the same time, so that a failure is due to the fault and not to a slow
    // machine.
    let verdicts: Vec<_> = stream::iter(runs).buffer_unordered(6).collect().await;
    let mut lengths = Vec::new();
    for (fault, verdict) in verdicts {
        let Verdict::Failed(failure) = verdict else {
            panic!("{case} does not catch {fault:?}: {verdict:?}")
        };
        let report = failure.to_string();
        println!("{fault:?}: {report}\n");
        assert!(report.contains("This contradicts the contract."), "{fault:?}: {report}");
        lengths.push(report.lines().filter(|line| line.contains(" ms  ")).count());
    }
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] <= 4, "the reports have too many steps: {lengths:?}");
}

/// Runs the case until it finds the fault. On a machine that stalls from time to time, leases end
/// before the steps that would show the fault.
async fn find(fault: Fault, case: &'static str) -> Verdict {
    const RUNS: usize = 20;
    for _ in 1..RUNS {
        let verdict = run_case(Arc::new(Broken::new(Some(fault))), case).await;
        if matches!(verdict, Verdict::Failed(_)) {
            return verdict;
        }
    }
    run_case(Arc::new(Broken::new(Some(fault))), case).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sequences_find_the_faults() {
    assert_found_in_sequences(IN_ANSWERS, "properties::random_call_sequences_match_the_model")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sequences_with_lost_replies_find_the_faults() {
    let faults = [Fault::RetryGrantsAgain, Fault::RenewRevives, Fault::EnableForgetsTheEnd];
    assert_found_in_sequences(
        &faults,
        "properties::random_call_sequences_with_lost_replies_match_the_model",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sequences_find_the_faults_of_queues() {
    assert_found_in_sequences(
        IN_ANSWERS_OF_QUEUES,
        "properties::random_call_sequences_with_queues_match_the_model",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sequences_with_lost_replies_find_the_faults_of_queues() {
    assert_found_in_sequences(
        &[Fault::RetryEntersAgain, Fault::LeaveIgnoresTheId, Fault::EnterForgetsDisable],
        "properties::random_call_sequences_with_queues_and_lost_replies_match_the_model",
    )
    .await;
}

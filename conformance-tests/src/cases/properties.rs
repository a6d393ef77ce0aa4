//! These cases test all promises about single calls together: after any sequence of calls by any
//! clients, the model allows each answer.

use crate::sequences::{run_many, run_many_with_queues};
use crate::{CaseResult, Ctx};

crate::case::cases! {
    Atomic: [
        random_call_sequences_match_the_model,
        random_call_sequences_with_lost_replies_match_the_model,
        random_call_sequences_with_queues_match_the_model[Queues],
        random_call_sequences_with_queues_and_lost_replies_match_the_model[Queues],
    ],
}

async fn random_call_sequences_match_the_model(ctx: Ctx) -> CaseResult {
    run_many(ctx, false).await
}

async fn random_call_sequences_with_lost_replies_match_the_model(ctx: Ctx) -> CaseResult {
    run_many(ctx, true).await
}

async fn random_call_sequences_with_queues_match_the_model(ctx: Ctx) -> CaseResult {
    run_many_with_queues(ctx, false).await
}

async fn random_call_sequences_with_queues_and_lost_replies_match_the_model(
    ctx: Ctx,
) -> CaseResult {
    run_many_with_queues(ctx, true).await
}

//! These cases test all promises about single calls together: after any sequence of calls by any
//! clients, the model allows each answer.

use crate::sequences::run_many;
use crate::{CaseResult, Ctx};

crate::case::cases! {
    Atomic: [
        random_call_sequences_match_the_model,
        random_call_sequences_with_lost_replies_match_the_model,
    ],
}

async fn random_call_sequences_match_the_model(ctx: Ctx) -> CaseResult {
    run_many(ctx, false).await
}

async fn random_call_sequences_with_lost_replies_match_the_model(ctx: Ctx) -> CaseResult {
    run_many(ctx, true).await
}

//! These cases test all promises about single calls together: after any sequence of calls by any
//! clients, the model allows each answer.

use crate::sequences::run_many;
use crate::{CaseResult, Ctx};

crate::case::cases! {
    Atomic: [
        each_answer_in_a_sequence_is_the_models,
        each_answer_is_the_models_though_others_get_lost,
    ],
}

async fn each_answer_in_a_sequence_is_the_models(ctx: Ctx) -> CaseResult {
    run_many(ctx, false).await
}

async fn each_answer_is_the_models_though_others_get_lost(ctx: Ctx) -> CaseResult {
    run_many(ctx, true).await
}

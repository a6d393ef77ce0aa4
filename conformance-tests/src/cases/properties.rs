//! These cases test all promises about single calls together: whatever was called before, in any
//! order and by any client, each answer is one that the model allows.

use crate::sequences::play_many;
use crate::{CaseResult, Ctx};

crate::case::cases! {
    Atomic: [
        each_answer_in_a_sequence_is_the_models,
        each_answer_is_the_models_though_others_get_lost,
    ],
}

async fn each_answer_in_a_sequence_is_the_models(ctx: Ctx) -> CaseResult {
    play_many(ctx, false).await
}

async fn each_answer_is_the_models_though_others_get_lost(ctx: Ctx) -> CaseResult {
    play_many(ctx, true).await
}

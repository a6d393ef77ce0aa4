//! A build without the feature `http` names it where it is needed.

use crate::support::{Bench, assert_refused};

#[test]
fn serve_and_metrics_name_the_missing_feature() {
    let bench = Bench::new();
    assert_refused(&bench.output(&["serve"]), 2, &["serve", "feature \"http\""]);
    let run = ["run", "--lock", "a", "--metrics", "127.0.0.1:0", "--", "touch", "ran"];
    assert_refused(&bench.output(&run), 2, &["option --metrics", "feature \"http\""]);
    assert!(!bench.path("ran").exists() && !bench.path("locks.db").exists());
}

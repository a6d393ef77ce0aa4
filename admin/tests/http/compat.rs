//! The original's two calls work in both spellings, with its responses.

use serde_json::json;

use crate::support::Bench;

#[tokio::test]
async fn original_paths_answer_as_the_original_did() {
    let bench = Bench::new().await;
    for path in ["/api/mastercontrols", "/api/MasterControls"] {
        let (disable, enable) = (format!("{path}/disable"), format!("{path}/enable"));
        let body = r#"{"lockName":"JOB-SCHEDULER","reason":"testing"}"#;
        let said = bench.post(&disable, body).await.ok();
        assert_eq!(said, json!("Flagged JOB-SCHEDULER as disabled"));
        let record = bench.client.status("JOB-SCHEDULER").await.unwrap();
        assert_eq!(record.disabled.unwrap().reason.as_str(), "testing");
        let said = bench.post(&disable, body).await.ok();
        assert_eq!(said, json!("JOB-SCHEDULER is already flagged as disabled"));
        for _ in 0..2 {
            let said = bench.post(&enable, r#"{"lockName":"JOB-SCHEDULER"}"#).await.ok();
            assert_eq!(said, json!("JOB-SCHEDULER is flagged for (re)enablement"));
        }
        assert!(bench.client.status("JOB-SCHEDULER").await.unwrap().disabled.is_none());
        // The original accepted additional fields.
        bench.post(&enable, r#"{"lockName":"x","options":{}}"#).await.ok();

        for body in [r#"{"lockName":"x"}"#, r#"{"reason":"x"}"#, "{}", "[]", "\"x\"", "null"] {
            bench.post(&disable, body).await.problem(422, "invalid");
        }
        bench.post(&disable, r#"{"lockName":"","reason":"x"}"#).await.problem(422, "invalid");
        bench.post(&enable, r#"{"lockName":3}"#).await.problem(422, "invalid");
        bench.post(&enable, "lockName=x").await.problem(400, "malformed");
        bench.get(&enable).await.problem(405, "method-not-allowed");
    }
}

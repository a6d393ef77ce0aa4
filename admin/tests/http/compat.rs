//! The original's two calls work in both spellings, with its responses.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn original_paths_reply_as_the_original_did() {
    let server = TestServer::new().await;
    for path in ["/api/mastercontrols", "/api/MasterControls"] {
        let (disable, enable) = (format!("{path}/disable"), format!("{path}/enable"));
        let body = r#"{"lockName":"JOB-SCHEDULER","reason":"testing"}"#;
        let reply = server.post(&disable, body).await.ok();
        assert_eq!(reply, json!("Flagged JOB-SCHEDULER as disabled"));
        let record = server.client.status("JOB-SCHEDULER").await.unwrap();
        assert_eq!(record.disabled.unwrap().reason.as_str(), "testing");
        let reply = server.post(&disable, body).await.ok();
        assert_eq!(reply, json!("JOB-SCHEDULER is already flagged as disabled"));
        for _ in 0..2 {
            let reply = server.post(&enable, r#"{"lockName":"JOB-SCHEDULER"}"#).await.ok();
            assert_eq!(reply, json!("JOB-SCHEDULER is flagged for (re)enablement"));
        }
        assert!(server.client.status("JOB-SCHEDULER").await.unwrap().disabled.is_none());
        // The original accepted additional fields.
        server.post(&enable, r#"{"lockName":"x","options":{}}"#).await.ok();

        for body in [r#"{"lockName":"x"}"#, r#"{"reason":"x"}"#, "{}", "[]", "\"x\"", "null"] {
            server.post(&disable, body).await.problem(422, "invalid");
        }
        server.post(&disable, r#"{"lockName":"","reason":"x"}"#).await.problem(422, "invalid");
        server.post(&enable, r#"{"lockName":3}"#).await.problem(422, "invalid");
        server.post(&enable, "lockName=x").await.problem(400, "malformed");
        server.get(&enable).await.problem(405, "method-not-allowed");
    }
}

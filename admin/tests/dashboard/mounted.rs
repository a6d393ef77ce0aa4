//! The page is mounted in an application, under a path, on a store with instance records.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::fixture::{Fixture, leads};

const INSTANCES: &str = "/v1/instances";

/// Mounts the fixture's API under two paths, with those instances; returns the application's URL.
pub(crate) async fn mount(fixture: &Fixture, instances: serde_json::Value) -> String {
    let body = json!({ "instances": instances }).to_string();
    let app = Router::new()
        .nest_service("/leasehold", fixture.api.router())
        .nest("/nested", fixture.api.router());
    let app = app.layer(from_fn(move |request: Request, next: Next| {
        let body = body.clone();
        async move {
            if request.uri().path().ends_with(INSTANCES) {
                json_response(body)
            } else {
                next.run(request).await
            }
        }
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn json_response(body: String) -> Response {
    ([("content-type", "application/json")], body).into_response()
}

pub(crate) fn instance(instance: &str, label: &str, campaigns: &[&str]) -> serde_json::Value {
    json!({ "instance": instance, "host": "node", "pid": 7, "label": label,
            "campaigns": campaigns, "unlisted": 0, "left_ms": 12500 })
}

pub(crate) async fn standbys(browser: &Browser) {
    let fixture = Fixture::new().await;
    let client = fixture.client("leader");
    let [led, alone] = ["led", "alone"].map(|name| crate::fixture::campaign(&client, name));
    leads(&led).await;
    leads(&alone).await;
    fixture.client("x").disable("off", "x").await.unwrap();
    // One lock is not an election; another may have a standby that does not list all its names.
    let guarded =
        fixture.client("x").lock("guarded").unwrap().try_acquire().await.unwrap().unwrap();
    let perhaps = crate::fixture::campaign(&client, "perhaps");
    leads(&perhaps).await;
    let own = client.holder().instance.to_string();
    let mut full = instance("018f0000-0000-7000-8000-000000000002", "full", &["alone-not"]);
    full["unlisted"] = 3.into();
    let instances = json!([
        instance(&own, "leader", &["led", "alone", "perhaps"]),
        full,
        instance("018f0000-0000-7000-8000-000000000001", "<i>standby</i>", &["led"]),
    ]);
    let url = mount(&fixture, instances).await;
    // The path works with and without the slash at the end.
    for path in ["/nested", "/leasehold/", "/leasehold"] {
        browser.open_live(&format!("{url}{path}")).await;
        let standbys = browser.until_row("led", ".standbys", "standby").await;
        assert_eq!(standbys, "<i>standby</i>");
        browser.until_row("alone", ".standbys", "no standby").await;
        for unmarked in ["off", "guarded", "perhaps"] {
            browser.until_row(unmarked, ".standbys", "–").await;
        }
        browser.until_row("led", ".resign", "Resign").await;
    }
    let only = "const only = document.querySelector('#only'); only.value = 'alone'; \
                only.dispatchEvent(new Event('change'))";
    browser.js(only, &[]).await;
    let one = "return document.querySelectorAll('tr[data-lock]').length === 1 && !!row('alone')";
    browser.until("the lock without a standby is found", one, &[]).await;
    browser.click_row("alone", ".switch").await;
    browser.submit(Some("through the mount")).await;
    browser.until_closed("act").await;
    let status = fixture.client("x").status("alone").await.unwrap();
    assert_eq!(status.disabled.unwrap().reason.as_str(), "through the mount");
    led.shutdown().await;
    alone.shutdown().await;
    perhaps.shutdown().await;
    guarded.release().await.unwrap();
}

//! Operators use the buttons of the page.

use std::time::{Duration, Instant};

use leasehold_core::election::Status;
use leasehold_core::{Client, Settings};
use tokio::time::timeout;

use crate::browser::Browser;
use crate::fixture::{Fixture, campaign, leads, stops};

const NAME: &str = "report";

pub(crate) async fn disable_and_enable(browser: &Browser) {
    let fixture = Fixture::new().await;
    let leader = fixture.campaign("worker", NAME);
    leads(&leader).await;
    browser.open_live(&fixture.url()).await;
    browser.until_row(NAME, ".who", "worker").await;

    // Without a reason nothing happens.
    browser.click_row(NAME, ".switch").await;
    browser.submit(None).await;
    let open = "return document.querySelector('#act').open \
                && document.activeElement.id === 'act-reason'";
    browser.until("the page prompts for the reason", open, &[]).await;
    assert!(fixture.client("x").status(NAME).await.unwrap().disabled.is_none());

    browser.submit(Some("migration of the ledger")).await;
    browser.until_closed("act").await;
    stops(&leader).await;
    browser.until_row(NAME, ".state", "disabled").await;
    browser.until_row(NAME, ".why", "migration of the ledger").await;
    let since = browser.until_row(NAME, ".since", " since ").await;
    assert!(since.starts_with("disabled by ops@console"), "{since}");
    // The page uses its own clock, not a time from the server.
    let grows = "window.first ??= text(arguments[0], '.since'); \
                 return text(arguments[0], '.since') !== window.first";
    browser.until("it is disabled for longer", grows, &[NAME.into()]).await;
    browser.until_row(NAME, ".who", "–").await;
    let message = "return document.querySelector('#said').textContent";
    let message = browser.until("the outcome is shown", message, &[]).await;
    assert_eq!(message, "report: is disabled");
    let disabled = fixture.client("x").status(NAME).await.unwrap().disabled.unwrap();
    assert_eq!(disabled.reason.as_str(), "migration of the ledger");

    browser.click_row(NAME, ".switch").await;
    let what = browser.js("return document.querySelector('#act-what').textContent", &[]).await;
    assert!(what.as_str().unwrap().contains("migration of the ledger"), "{what}");
    browser.submit(None).await;
    leads(&leader).await;
    browser.until_row(NAME, ".state", "held").await;
    browser.until_row(NAME, ".who", "worker").await;
    assert_eq!(browser.js("return text('report', '.why')", &[]).await, "");
    leader.shutdown().await;
}

pub(crate) async fn resign(browser: &Browser) {
    let fixture = Fixture::new().await;
    let first = fixture.campaign("first", NAME);
    leads(&first).await;
    browser.open_live(&fixture.url()).await;
    browser.until_row(NAME, ".who", "first").await;
    let before = browser.token(NAME).await;
    let second = fixture.campaign("second", NAME);

    browser.click_row(NAME, ".resign").await;
    browser.submit(Some("deploy")).await;
    browser.until_closed("act").await;
    let grown = "return Number(text(arguments[0], '.token')) > arguments[1]";
    browser.until("a later term", grown, &[NAME.into(), before.into()]).await;
    browser.until_row(NAME, ".state", "held").await;
    assert!(fixture.client("x").status(NAME).await.unwrap().disabled.is_none());

    // An action that fails is explained in the dialog, which stays open.
    fixture.client("other").disable(NAME, "theirs").await.unwrap();
    first.shutdown().await;
    second.shutdown().await;
    browser.until_row(NAME, ".state", "disabled").await;
    let resign = "return part(arguments[0], '.resign').hidden";
    assert_eq!(browser.js(resign, &[NAME.into()]).await, true);
}

/// Instances notice a click by a hint: their own heartbeats and polls are minutes apart.
pub(crate) async fn fifty_instances(browser: &Browser) {
    let fixture = Fixture::with_hints().await;
    let settings = Settings::default().ttl(Duration::from_secs(600));
    let elections: Vec<_> = (0..50)
        .map(|_| {
            let client = Client::builder(fixture.store.clone()).settings(settings.clone());
            campaign(&client.build().unwrap(), NAME)
        })
        .collect();
    let all = async |what: &str, start: Instant, knows: &dyn Fn(&Status) -> bool| {
        for election in &elections {
            let mut status = election.watch();
            let known = timeout(Duration::from_secs(100), status.wait_for(knows)).await;
            assert!(known.is_ok(), "{what}: {:?}", election.status());
        }
        println!("{what}: 50 instances know {:.3?} later", start.elapsed());
    };
    let led = |status: &Status| {
        status.disabled.is_none() && (status.is_leading() || status.leader.is_some())
    };
    all("led", Instant::now(), &led).await;
    browser.open_live(&fixture.url()).await;
    browser.until_row(NAME, ".state", "held").await;
    for _ in 0..2 {
        browser.click_row(NAME, ".switch").await;
        let click = Instant::now();
        browser.submit(Some("stop")).await;
        all("disabled by a click", click, &|status| {
            status.disabled.is_some() && !status.is_leading()
        })
        .await;
        browser.until_closed("act").await;
        browser.until_row(NAME, ".state", "disabled").await;
        browser.click_row(NAME, ".switch").await;
        let click = Instant::now();
        browser.submit(None).await;
        all("enabled by a click", click, &led).await;
        browser.until_closed("act").await;
        assert_eq!(elections.iter().filter(|it| it.status().is_leading()).count(), 1);
        browser.until_row(NAME, ".state", "held").await;
    }
}

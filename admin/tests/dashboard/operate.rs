//! Operators click.

use crate::browser::Browser;
use crate::stage::{Stage, leads, stops};

const NAME: &str = "report";

pub(crate) async fn disable_and_enable(browser: &Browser) {
    let stage = Stage::new().await;
    let leader = stage.campaign("worker", NAME);
    leads(&leader).await;
    browser.open_live(&stage.url()).await;
    browser.until_row(NAME, ".who", "worker").await;

    // Without a reason nothing happens.
    browser.click_row(NAME, ".switch").await;
    browser.answer(None).await;
    let open = "return document.querySelector('#act').open \
                && document.activeElement.id === 'act-reason'";
    browser.until("the reason is asked for", open, &[]).await;
    assert!(stage.client("x").status(NAME).await.unwrap().disabled.is_none());

    browser.answer(Some("migration of the ledger")).await;
    browser.until_closed("act").await;
    stops(&leader).await;
    browser.until_row(NAME, ".state", "disabled").await;
    browser.until_row(NAME, ".why", "migration of the ledger").await;
    let since = browser.until_row(NAME, ".since", " since ").await;
    assert!(since.starts_with("disabled by ops@console"), "{since}");
    // By the page's own clock, not by a time that the server says.
    let grows = "window.first ??= text(arguments[0], '.since'); \
                 return text(arguments[0], '.since') !== window.first";
    browser.until("it is disabled for longer", grows, &[NAME.into()]).await;
    browser.until_row(NAME, ".who", "–").await;
    let said = "return document.querySelector('#said').textContent";
    let said = browser.until("the outcome is said", said, &[]).await;
    assert_eq!(said, "report: is disabled");
    let disabled = stage.client("x").status(NAME).await.unwrap().disabled.unwrap();
    assert_eq!(disabled.reason.as_str(), "migration of the ledger");

    browser.click_row(NAME, ".switch").await;
    let what = browser.js("return document.querySelector('#act-what').textContent", &[]).await;
    assert!(what.as_str().unwrap().contains("migration of the ledger"), "{what}");
    browser.answer(None).await;
    leads(&leader).await;
    browser.until_row(NAME, ".state", "held").await;
    browser.until_row(NAME, ".who", "worker").await;
    assert_eq!(browser.js("return text('report', '.why')", &[]).await, "");
    leader.shutdown().await;
}

pub(crate) async fn resign(browser: &Browser) {
    let stage = Stage::new().await;
    let first = stage.campaign("first", NAME);
    leads(&first).await;
    browser.open_live(&stage.url()).await;
    browser.until_row(NAME, ".who", "first").await;
    let before = browser.token(NAME).await;
    let second = stage.campaign("second", NAME);

    browser.click_row(NAME, ".resign").await;
    browser.answer(Some("deploy")).await;
    browser.until_closed("act").await;
    let grown = "return Number(text(arguments[0], '.token')) > arguments[1]";
    browser.until("a later term", grown, &[NAME.into(), before.into()]).await;
    browser.until_row(NAME, ".state", "held").await;
    assert!(stage.client("x").status(NAME).await.unwrap().disabled.is_none());

    // What cannot be done is said in the dialog, which stays.
    stage.client("other").disable(NAME, "theirs").await.unwrap();
    first.shutdown().await;
    second.shutdown().await;
    browser.until_row(NAME, ".state", "disabled").await;
    let resign = "return part(arguments[0], '.resign').hidden";
    assert_eq!(browser.js(resign, &[NAME.into()]).await, true);
}

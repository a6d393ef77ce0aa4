//! The page shows a takeover.

use leasehold_core::FencingToken;
use tokio::runtime::Runtime;

use crate::browser::Browser;
use crate::fixture::{Fixture, TTL, campaign, leads};

const NAME: &str = "billing/nightly";

pub(crate) async fn is_shown(browser: &Browser) {
    let fixture = Fixture::new().await;
    let first = fixture.campaign("first", NAME);
    leads(&first).await;
    let second = fixture.campaign("second", NAME);
    browser.open_live(&fixture.url()).await;
    browser.until_row(NAME, ".who", "first").await;
    browser.until_row(NAME, ".state", "held").await;
    let before = browser.token(NAME).await;
    assert_eq!(Some(before), first.status().token.map(FencingToken::get));

    // The time left falls between renewals, rises with them, and never exceeds the ttl.
    let moved = "const fill = part(arguments[0], '.bar i').style.transform; \
                 return fill !== '' && fill !== arguments[1] ? fill : null";
    let one = browser.until("the bar is drawn", moved, &[NAME.into(), "".into()]).await;
    browser.until("the bar moves", moved, &[NAME.into(), one]).await;
    assert!(browser.seconds_left(NAME).await <= TTL.as_secs());

    first.shutdown().await;
    browser.until_row(NAME, ".who", "second").await;
    let after = browser.token(NAME).await;
    assert!(after > before, "{after} is not above {before}");
    assert_eq!(Some(after), second.status().token.map(FencingToken::get));

    // Both terms are drawn and described.
    let drawn = "return part(arguments[0], '.strip').children.length === 2";
    browser.until("two terms are drawn", drawn, &[NAME.into()]).await;
    browser.click_row(NAME, ".name").await;
    let terms = "return [...document.querySelectorAll('#details-terms li')] \
                .map((term) => term.textContent).join('|')";
    let terms = browser.js(terms, &[]).await.as_str().unwrap().to_owned();
    let (new, old) = terms.split_once('|').unwrap();
    assert!(new.starts_with(&format!("term {after}: second, from ")), "{terms}");
    assert!(new.ends_with(" to now") && !old.ends_with(" to now"), "{terms}");
    assert!(old.starts_with(&format!("term {before}: first, from ")), "{terms}");
    browser.click("#details-close").await;
    browser.until_closed("details").await;
    second.shutdown().await;
    browser.until_row(NAME, ".state", "free").await;
}

/// A crashed leader is replaced when its lease has expired.
pub(crate) async fn of_a_crashed_leader(browser: &Browser) {
    let fixture = Fixture::new().await;
    let crashed = Runtime::new().unwrap();
    let client = fixture.client("crashed");
    let first = crashed.spawn(async move {
        let handle = campaign(&client, NAME);
        leads(&handle).await;
        handle
    });
    // The handle is kept, so that nothing shuts the election down cleanly.
    let _first = first.await.unwrap();
    let second = fixture.campaign("second", NAME);
    browser.open_live(&fixture.url()).await;
    browser.until_row(NAME, ".who", "crashed").await;
    let before = browser.token(NAME).await;
    // Renewals are not events, but the page reads them.
    let renewed = "window.low ??= 99; const left = parseInt(text(arguments[0], '.seconds')); \
                   window.low = Math.min(window.low, left); return left > window.low";
    browser.until("the time left goes up again", renewed, &[NAME.into()]).await;

    crashed.shutdown_background();
    browser.until_row(NAME, ".who", "second").await;
    assert!(browser.token(NAME).await > before);
    second.shutdown().await;
}

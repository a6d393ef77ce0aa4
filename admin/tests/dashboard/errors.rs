//! The page shows errors.

use leasehold_admin::{Access, Token};
use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{Fixture, leads};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const NAME: &str = "report";

pub(crate) async fn token(browser: &Browser) {
    let fixture = Fixture::with(|api| api.access(Access::Token(Token::new(TOKEN).unwrap()))).await;
    fixture.client("x").disable(NAME, "secret").await.unwrap();
    browser.open(&fixture.url()).await;
    let asked = "return document.querySelector('#ask').open \
                 && document.activeElement.id === 'ask-token'";
    browser.until("the page prompts for a token", asked, &[]).await;
    browser.until_banner("a token is needed").await;

    for wrong in ["0123456789abcdef0123456789abcdeX", "ключ"] {
        browser.keys(wrong).await;
        browser.keys("\u{E007}").await;
        let refused = "return document.querySelector('#ask').open \
                       && document.querySelector('#ask-error').textContent";
        let error = browser.until("the token is refused", refused, &[]).await;
        assert!(error.as_str().unwrap().starts_with("This token is not accepted: "), "{error}");
        browser.until("the page prompts for a token again", asked, &[]).await;
    }
    let page = browser.js("return document.body.textContent", &[]).await;
    assert!(!page.as_str().unwrap().contains("secret"), "nothing is shown without a token");

    browser.keys(TOKEN).await;
    browser.keys("\u{E007}").await;
    browser.until_live().await;
    browser.until_row(NAME, ".why", "secret").await;
    browser.until_closed("ask").await;

    // The token is kept for the tab, and nowhere else.
    browser.open_live(&fixture.url()).await;
    browser.until_row(NAME, ".why", "secret").await;
    let kept = "return [localStorage.length, document.cookie, location.href.includes('0123')]";
    assert_eq!(browser.js(kept, &[]).await, json!([0, "", false]));
    browser.click("#forget").await;
    browser.until("the page prompts for a token", asked, &[]).await;
    assert_eq!(browser.js("return sessionStorage.length", &[]).await, 0);
}

pub(crate) async fn store_outage(browser: &Browser) {
    let fixture = Fixture::new().await;
    let leader = fixture.campaign("worker", NAME);
    leads(&leader).await;
    browser.open_live(&fixture.url()).await;
    browser.until_row(NAME, ".who", "worker").await;

    fixture.gate.shut();
    let banner = browser.until_banner("the store does not respond, showing the state as of ").await;
    let (_, as_of) = banner.split_once("as of ").unwrap();
    let time: Vec<_> = as_of[..8].split(':').map(|part| part.parse::<u32>().unwrap()).collect();
    assert!(time.len() == 3 && as_of.as_bytes()[8] == b':', "not HH:MM:SS and a reason: {banner}");
    // The last known state is still shown, and its times are frozen.
    browser.until_row(NAME, ".who", "worker").await;
    assert_eq!(browser.js("return document.body.className", &[]).await, "stale");
    let bar = "return part(arguments[0], '.bar i').style.transform";
    let frozen = browser.js(bar, &[NAME.into()]).await;

    // After a write, the dialog shows what went wrong.
    browser.click_row(NAME, ".switch").await;
    browser.submit(Some("x")).await;
    let error = "return document.querySelector('#act-error').textContent";
    let error = browser.until("the error is shown", error, &[]).await;
    let error = error.as_str().unwrap();
    assert!(error.contains("may have happened") || error.contains("not respond"), "{error}");
    assert_eq!(browser.js("return document.querySelector('#act').open", &[]).await, true);
    assert_eq!(browser.js(bar, &[NAME.into()]).await, frozen);
    browser.click("#act-cancel").await;

    fixture.gate.open();
    browser.until_live().await;
    leader.shutdown().await;
}

pub(crate) async fn lost_connection(browser: &Browser) {
    let mut fixture = Fixture::new().await;
    let first = fixture.campaign("first", NAME);
    leads(&first).await;
    browser.open_live(&fixture.url()).await;
    browser.until_row(NAME, ".who", "first").await;

    fixture.stop_server().await;
    browser.until_banner("connection lost, showing the state as of ").await;
    browser.until_row(NAME, ".who", "first").await;
    browser.until("the page says when it retries", RETRIES, &[]).await;
    browser.click_row(NAME, ".switch").await;
    browser.submit(Some("x")).await;
    let error = "return document.querySelector('#act-error').textContent";
    let error = browser.until("the error is shown", error, &[]).await;
    assert!(error.as_str().unwrap().starts_with("no reply"), "{error}");
    browser.click("#act-cancel").await;

    // Changes during the outage are shown later; the end of a term that was not seen is shown as
    // unknown.
    let second = fixture.campaign("second", NAME);
    first.shutdown().await;
    leads(&second).await;
    fixture.client("x").disable("new", "during the outage").await.unwrap();
    fixture.serve().await;
    // The page may retry on its own just before, which hides the button.
    browser.js("document.querySelector('#retry-now').click()", &[]).await;
    browser.until_live().await;
    browser.until_row(NAME, ".who", "second").await;
    browser.until_row("new", ".why", "during the outage").await;
    browser.click_row(NAME, ".name").await;
    let terms = "return document.querySelector('#details-terms').textContent";
    let terms = browser.js(terms, &[]).await;
    assert!(terms.as_str().unwrap().contains("to some time after "), "{terms}");
    second.shutdown().await;
}

const RETRIES: &str = "return document.querySelector('#again').textContent \
                     .startsWith('Retrying in ')";

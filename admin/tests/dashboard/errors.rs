//! The page shows what is wrong.

use leasehold_admin::{Access, Token};
use serde_json::json;

use crate::browser::Browser;
use crate::stage::{Stage, leads};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const NAME: &str = "report";

pub(crate) async fn token(browser: &Browser) {
    let stage = Stage::with(|api| api.access(Access::Token(Token::new(TOKEN).unwrap()))).await;
    stage.client("x").disable(NAME, "secret").await.unwrap();
    browser.open(&stage.url()).await;
    let asked = "return document.querySelector('#ask').open \
                 && document.activeElement.id === 'ask-token'";
    browser.until("a token is asked for", asked, &[]).await;
    browser.until_banner("a token is needed").await;

    for wrong in ["0123456789abcdef0123456789abcdeX", "ключ"] {
        browser.keys(wrong).await;
        browser.keys("\u{E007}").await;
        let refused = "return document.querySelector('#ask').open \
                       && document.querySelector('#ask-error').textContent";
        let said = browser.until("it is refused", refused, &[]).await;
        assert!(said.as_str().unwrap().starts_with("This token is not accepted: "), "{said}");
        browser.until("it is asked for again", asked, &[]).await;
    }
    let page = browser.js("return document.body.textContent", &[]).await;
    assert!(!page.as_str().unwrap().contains("secret"), "nothing is told without a token");

    browser.keys(TOKEN).await;
    browser.keys("\u{E007}").await;
    browser.until_live().await;
    browser.until_row(NAME, ".why", "secret").await;
    browser.until_closed("ask").await;

    // The token is kept for the tab, and nowhere else.
    browser.open_live(&stage.url()).await;
    browser.until_row(NAME, ".why", "secret").await;
    let kept = "return [localStorage.length, document.cookie, location.href.includes('0123')]";
    assert_eq!(browser.js(kept, &[]).await, json!([0, "", false]));
    browser.click("#forget").await;
    browser.until("a token is asked for", asked, &[]).await;
    assert_eq!(browser.js("return sessionStorage.length", &[]).await, 0);
}

pub(crate) async fn store_away(browser: &Browser) {
    let stage = Stage::new().await;
    let leader = stage.campaign("worker", NAME);
    leads(&leader).await;
    browser.open_live(&stage.url()).await;
    browser.until_row(NAME, ".who", "worker").await;

    stage.door.shut();
    let said = browser.until_banner("the store does not respond, showing the state as of ").await;
    let (_, as_of) = said.split_once("as of ").unwrap();
    let time: Vec<_> = as_of[..8].split(':').map(|part| part.parse::<u32>().unwrap()).collect();
    assert!(time.len() == 3 && as_of.as_bytes()[8] == b':', "HH:MM:SS and why: {said}");
    // The last known state is still shown, and no longer counted down.
    browser.until_row(NAME, ".who", "worker").await;
    assert_eq!(browser.js("return document.body.className", &[]).await, "stale");
    let bar = "return part(arguments[0], '.bar i').style.transform";
    let frozen = browser.js(bar, &[NAME.into()]).await;

    // After a write, the dialog shows what went wrong.
    browser.click_row(NAME, ".switch").await;
    browser.answer(Some("x")).await;
    let error = "return document.querySelector('#act-error').textContent";
    let error = browser.until("the error is shown", error, &[]).await;
    let error = error.as_str().unwrap();
    assert!(error.contains("may have happened") || error.contains("not respond"), "{error}");
    assert_eq!(browser.js("return document.querySelector('#act').open", &[]).await, true);
    assert_eq!(browser.js(bar, &[NAME.into()]).await, frozen);
    browser.click("#act-cancel").await;

    stage.door.open();
    browser.until_live().await;
    leader.shutdown().await;
}

pub(crate) async fn server_gone(browser: &Browser) {
    let mut stage = Stage::new().await;
    let first = stage.campaign("first", NAME);
    leads(&first).await;
    browser.open_live(&stage.url()).await;
    browser.until_row(NAME, ".who", "first").await;

    stage.go_away().await;
    browser.until_banner("connection lost, showing the state as of ").await;
    browser.until_row(NAME, ".who", "first").await;
    browser.until("it says when it tries again", AGAIN, &[]).await;
    browser.click_row(NAME, ".switch").await;
    browser.answer(Some("x")).await;
    let error = "return document.querySelector('#act-error').textContent";
    let error = browser.until("the error is shown", error, &[]).await;
    assert!(error.as_str().unwrap().starts_with("no reply"), "{error}");
    browser.click("#act-cancel").await;

    // Changes during the outage are shown later; the end of a term that was not seen is shown as
    // unknown.
    let second = stage.campaign("second", NAME);
    first.shutdown().await;
    leads(&second).await;
    stage.client("x").disable("new", "during the outage").await.unwrap();
    stage.serve().await;
    // The page may retry on its own just before, which hides the button.
    browser.js("document.querySelector('#retry-now').click()", &[]).await;
    browser.until_live().await;
    browser.until_row(NAME, ".who", "second").await;
    browser.until_row("new", ".why", "during the outage").await;
    browser.click_row(NAME, ".name").await;
    let told = "return document.querySelector('#details-terms').textContent";
    let told = browser.js(told, &[]).await;
    assert!(told.as_str().unwrap().contains("to some time after "), "{told}");
    second.shutdown().await;
}

const AGAIN: &str = "return document.querySelector('#again').textContent \
                     .startsWith('Retrying in ')";

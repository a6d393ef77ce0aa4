//! Every action works without a mouse.

use crate::browser::Browser;
use crate::fixture::{Fixture, leads};

const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";
const TAB: &str = "\u{E004}";

const ROWS: &str = "return [...document.querySelectorAll('tr[data-lock]')] \
                    .map((tr) => tr.dataset.lock).join() === arguments[0]";

pub(crate) async fn every_action(browser: &Browser) {
    let fixture = Fixture::new().await;
    for name in ["alpha", "beta", "gamma"] {
        fixture.client("x").disable(name, "off for now").await.unwrap();
    }
    let leader = fixture.campaign("worker", "delta");
    leads(&leader).await;
    browser.open_live(&fixture.url()).await;
    browser.until("all are shown", ROWS, &["alpha,beta,delta,gamma".into()]).await;

    browser.keys("/").await;
    browser.until_focus("filter").await;
    browser.keys("WORK").await;
    browser.until("holders are found", ROWS, &["delta".into()]).await;
    browser.keys(ESCAPE).await;
    browser.until("all are shown", ROWS, &["alpha,beta,delta,gamma".into()]).await;
    browser.keys("et").await;
    browser.until("names are found", ROWS, &["beta".into()]).await;
    browser.keys("/").await;
    browser.until("a slash can be typed", ROWS, &["".into()]).await;
    browser.keys("\u{E003}").await;
    browser.until("the slash is removed", ROWS, &["beta".into()]).await;

    // The order is the filter, the selection, the lock's name, and its button.
    for _ in 0..3 {
        browser.keys(TAB).await;
    }
    let label = "return document.activeElement.getAttribute('aria-label') === arguments[0]";
    browser.until("the button has the focus", label, &["Enable beta".into()]).await;
    browser.keys(ENTER).await;
    browser.until_focus("act-do").await;
    browser.keys(ESCAPE).await;
    browser.until_closed("act").await;
    browser.until("the focus comes back", label, &["Enable beta".into()]).await;
    browser.keys(ENTER).await;
    browser.until_focus("act-do").await;
    browser.keys(ENTER).await;
    browser.until_closed("act").await;
    browser.until_row("beta", ".state", "free").await;
    browser.until("the focus stays on the button", label, &["Disable beta".into()]).await;
    browser.keys(ENTER).await;
    browser.until_focus("act-reason").await;
    browser.keys("by keys").await;
    browser.keys(ENTER).await;
    browser.until_row("beta", ".why", "by keys").await;

    // Every control has an accessible name.
    let nameless = "return [...document.querySelectorAll('button, input, select')] \
        .filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label') \
            || one.labels?.length)).length";
    assert_eq!(browser.js(nameless, &[]).await, 0);
    leader.shutdown().await;
}

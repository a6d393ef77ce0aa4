//! Thousands of locks must not freeze the page.

use serde_json::Value;

use crate::browser::Browser;
use crate::fixture::{Fixture, leads};

const LOCKS: usize = 2000;

pub(crate) async fn two_thousand(browser: &Browser) {
    let fixture = Fixture::new().await;
    let client = fixture.client("x");
    for number in 0..LOCKS {
        client.disable(format!("job/{number:04}"), "off for now").await.unwrap();
    }
    let leader = fixture.campaign("worker", "job/1999/led");
    leads(&leader).await;
    browser.open(&fixture.url()).await;
    let shown = "return document.querySelector('#summary').textContent.startsWith('2001 locks') \
                 && !document.body.classList.contains('stale') && performance.now()";
    let shown = browser.until("all are known", shown, &[]).await;
    let rows = "return document.querySelectorAll('tr[data-lock]').length";
    assert_eq!(browser.js(rows, &[]).await, 50, "only the rows of one page exist");
    let range = "return document.querySelector('#range').textContent";
    assert_eq!(browser.js(range, &[]).await, "1 to 50 of 2001");

    // This measures the time from a key press to the frame that shows it.
    let typed = "
        const filter = document.querySelector('#filter');
        filter.value = arguments[0];
        const begun = performance.now();
        filter.dispatchEvent(new Event('input'));
        requestAnimationFrame(() => { window.typed = performance.now() - begun; });
    ";
    browser.js(typed, &["1999".into()]).await;
    let typed = browser.until("it is filtered", "return window.typed", &[]).await;
    browser
        .until(
            "both are found",
            "return document.querySelectorAll('tr[data-lock]').length === 2",
            &[],
        )
        .await;
    // The time left is read, although the lock is on the last page.
    let renewed = "window.low ??= 99; const left = parseInt(text(arguments[0], '.seconds')); \
                   window.low = Math.min(window.low, left); return left > window.low";
    browser.until("the time left goes up again", renewed, &["job/1999/led".into()]).await;
    browser
        .js(
            "document.querySelector('#filter').value = ''; \
        document.querySelector('#filter').dispatchEvent(new Event('input'))",
            &[],
        )
        .await;
    browser.until_row("job/0000", ".state", "disabled").await;
    browser.click("#next").await;
    browser.until_row("job/0050", ".state", "disabled").await;
    browser.click("#previous").await;
    browser.until_row("job/0000", ".state", "disabled").await;

    let longest = "
        window.longest ??= -1;
        window.watcher ??= new PerformanceObserver((list) => {
            window.longest = Math.max(window.longest, ...list.getEntries().map((e) => e.duration));
        });
        window.watcher.observe({ type: 'longtask', buffered: true });
        return new Promise((done) => setTimeout(() => done(window.longest), 0));
    ";
    // The time depends on the machine and is only printed. The assertion above shows that it does
    // not grow with the number of locks: only visible rows are drawn.
    let longest = browser.js(longest, &[]).await;
    let ms = |value: &Value| value.as_f64().unwrap();
    println!(
        "{LOCKS} locks: known {:.0} ms after the page was opened, filtered in {:.0} ms, \
         longest task {:.0} ms",
        ms(&shown),
        ms(&typed),
        ms(&longest).max(50.0)
    );
    leader.shutdown().await;
}

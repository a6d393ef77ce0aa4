//! The page shows the kind of a lock, its holders and its queue.

use std::time::Duration;

use crate::browser::Browser;
use crate::fixture::Fixture;

const NAME: &str = "exports";

/// A wait lasts as long as the test.
const LIMIT: Duration = Duration::from_secs(600);

/// This script returns one row of the details if it contains those words.
const DETAIL: &str = "const of = [...document.querySelectorAll('#details dt')]; \
                      const term = of.find((one) => one.textContent === arguments[0]); \
                      const shown = term?.nextElementSibling.textContent ?? ''; \
                      return shown.includes(arguments[1]) ? shown : null";

pub(crate) async fn are_shown(browser: &Browser) {
    let fixture = Fixture::with_hints().await;
    let wait = |label: &str, permits: u32| {
        let semaphore = fixture.client(label).semaphore(NAME, 3).unwrap();
        tokio::spawn(async move { semaphore.acquire_many(permits, LIMIT).await.unwrap() })
    };
    let first = wait("first", 1).await.unwrap();
    let second = wait("second", 2).await.unwrap();
    browser.open_live(&fixture.url()).await;
    let row = async |selector: &str, words: &str| browser.until_row(NAME, selector, words).await;
    row(".queue", "semaphore, 3 of 3 permits").await;
    assert_eq!(row(".who", "first").await, "first and 1 more");

    let third = wait("third", 3);
    row(".queue", "3 of 3 permits, 1 waiting").await;
    let fourth = wait("fourth", 1);
    row(".queue", "3 of 3 permits, 2 waiting").await;
    assert_eq!(browser.token(NAME).await, first.token().get());

    browser.click_row(NAME, ".name").await;
    let detail = async |term: &str, words: &str| {
        let what = format!("{term} has {words:?}");
        let shown = browser.until(&what, DETAIL, &[term.into(), words.into()]).await;
        shown.as_str().unwrap().to_owned()
    };
    let holders = detail("Holders", "second").await;
    assert!(holders.starts_with("first, token ") && holders.contains("second, 2 permits, "));
    let queue = detail("Queue", "fourth").await;
    assert!(queue.starts_with("1. third, 3 permits, ") && queue.contains("; 2. fourth, "));
    first.release().await.unwrap();
    second.release().await.unwrap();
    detail("Holders", "third").await;
    let queue = detail("Queue", "1. fourth").await;
    assert!(!queue.contains("2. "), "{queue}");
    browser.click("#details-close").await;

    let third = third.await.unwrap();
    browser.click_row(NAME, ".resign").await;
    let what = browser.js("return document.querySelector('#act-what').textContent", &[]).await;
    assert!(what.as_str().unwrap().contains("Those that wait enter the queue again"), "{what}");
    browser.submit(Some("deploy")).await;
    browser.until_closed("act").await;
    third.lost().await;
    third.release().await.unwrap();
    let fourth = fourth.await.unwrap();
    row(".who", "fourth").await;
    row(".queue", "1 of 3 permits").await;
    fourth.release().await.unwrap();
    row(".state", "free").await;
    assert_eq!(browser.js("return text('exports', '.queue')", &[]).await, "");
}

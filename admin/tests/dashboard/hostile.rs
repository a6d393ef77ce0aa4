//! Names, reasons and labels may be hostile.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{Fixture, leads};

const MARKUP: [&str; 5] = [
    "<img src=x onerror=\"window.ran=1\">",
    "</script><script>window.ran=1</script>",
    "\"><svg onload=window.ran=1>",
    "javascript:window.ran=1",
    "{{script}}&lt;b&gt;'\"`${window.ran=1}",
];

pub(crate) async fn text_is_text(browser: &Browser) {
    let fixture = Fixture::new().await;
    let client = fixture.client(MARKUP[0]);
    let long = "W".repeat(255);
    let bidi = "invoice\u{202E}gnp.exe\u{200B}";
    for name in MARKUP.into_iter().chain([long.as_str(), bidi]) {
        client.disable(name, MARKUP[1]).await.unwrap();
    }
    client.disable("reasons", "w".repeat(1024)).await.unwrap();
    client.disable("lines", "one\ntwo\u{202E}\u{7}").await.unwrap();
    let leader = fixture.campaign(&MARKUP[0].repeat(3), "led");
    leads(&leader).await;
    browser.open_live(&fixture.url()).await;

    for name in MARKUP.into_iter().chain([long.as_str()]) {
        browser.until_row(name, ".name", name).await;
        browser.until_row(name, ".why", MARKUP[1]).await;
        browser.until_row(name, ".since", MARKUP[0]).await;
    }
    // Invisible characters, and those that change the text direction, are escaped.
    let shown = browser.until_row(bidi, ".name", "invoice").await;
    assert_eq!(shown, "invoice\\u{202e}gnp.exe\\u{200b}");
    browser.until_row("lines", ".why", "one\\u{a}two\\u{202e}\\u{7}").await;
    browser.until_row("led", ".who", &MARKUP[0].repeat(3)).await;

    for (width, phone) in [(1280, false), (360, true)] {
        browser.size(width, 800, phone).await;
        let fits = "const root = document.documentElement; \
                    return root.scrollWidth <= root.clientWidth";
        browser.until(&format!("nothing overflows at {width}"), fits, &[]).await;
        browser.picture(&format!("hostile-{width}")).await;
    }
    browser.size(1280, 800, false).await;

    // The dialogs escape them too.
    browser.click_row(MARKUP[0], ".switch").await;
    let named = "return document.querySelector('#act-name').textContent";
    assert_eq!(browser.js(named, &[]).await, MARKUP[0]);
    browser.submit(None).await;
    browser.until_closed("act").await;
    browser.until_row(MARKUP[0], ".state", "free").await;
    browser.click_row("led", ".name").await;
    let ran = "return [typeof window.ran, document.querySelectorAll('body img, body svg').length, \
               document.scripts.length]";
    assert_eq!(browser.js(ran, &[]).await, json!(["undefined", 0, 1]));

    // Even if markup is injected, the page's policy lets no text become markup, and no markup run.
    let inject = "
        let refused = 0;
        try { document.body.innerHTML += '<b>x</b>'; } catch { refused += 1; }
        const script = document.createElement('script');
        try { script.textContent = 'window.ran = 1'; } catch { refused += 1; }
        document.body.append(script);
        return [refused, typeof window.ran];
    ";
    assert_eq!(browser.js(inject, &[]).await, json!([2, "undefined"]));
    // The log entries of the refused injection are expected.
    browser.drop_log().await;
    leader.shutdown().await;
}

/// Names with a meaning in paths reach the server unchanged.
pub(crate) async fn names(browser: &Browser) {
    let fixture = Fixture::new().await;
    let client = fixture.client("x");
    let names = [
        ".",
        "..",
        "../..",
        "a/b",
        "a%2Fb",
        "a?b=c#d",
        "%",
        "%00",
        " a ",
        "a+b",
        "\\",
        "á",
        "a\u{301}",
        "𝒳",
        "\u{FFFD}",
        "v1/locks",
        "//evil.example/",
    ];
    for name in names {
        client.disable(name, "first").await.unwrap();
    }
    browser.open_live(&fixture.url()).await;
    let order =
        "return [...document.querySelectorAll('tr[data-lock]')].map((tr) => tr.dataset.lock)";
    let mut sorted = names.map(Value::from);
    sorted.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    assert_eq!(browser.js(order, &[]).await, json!(sorted), "the page has the server's order");
    for name in names {
        browser.until_row(name, ".state", "disabled").await;
        browser.click_row(name, ".switch").await;
        browser.submit(None).await;
        browser.until_closed("act").await;
        browser.until_row(name, ".state", "free").await;
        assert!(client.status(name).await.unwrap().disabled.is_none(), "{name}");
        browser.click_row(name, ".switch").await;
        browser.submit(Some(name)).await;
        browser.until_closed("act").await;
        let disabled = client.status(name).await.unwrap().disabled.unwrap();
        assert_eq!(disabled.reason.as_str(), name);
    }
    assert_eq!(client.list().await.unwrap().len(), names.len(), "there is no other lock");
}

//! The tests control Chromium through WebDriver.

use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Every step takes less time than this, even on a busy machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Every script starts with these functions, which find the row of a lock and its parts.
const PRELUDE: &str = "
    const row = (name) =>
        [...document.querySelectorAll('tr[data-lock]')].find((tr) => tr.dataset.lock === name);
    const part = (name, selector) => row(name)?.querySelector(selector);
    const text = (name, selector) => part(name, selector)?.textContent;
    const banner = () => document.querySelector('#banner').textContent;
";

/// This script returns every text whose colour is too close to its background.
const CONTRAST: &str = "
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => {
        const [r, g, b] = colour.slice(0, 3).map((one) => one / 255)
            .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        const colour = element ? parse(getComputedStyle(element).backgroundColor) : [255, 255, 255];
        return colour[3] === 0 ? behind(element.parentElement) : colour;
    };
    return [...document.body.querySelectorAll('*')]
        .filter((one) => one.checkVisibility() && !one.disabled)
        .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .map((one) => {
            const ends = [parse(getComputedStyle(one).color), behind(one)].map(luminance);
            const ratio = (Math.max(...ends) + 0.05) / (Math.min(...ends) + 0.05);
            return [one.className || one.tagName, one.textContent.slice(0, 30), ratio];
        })
        .filter(([, , ratio]) => ratio < 4.5);
";

/// Returns which program is missing, if any.
pub(crate) fn missing() -> Option<String> {
    let runs = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let missing = ["chromium", "chromedriver"].into_iter().find(|program| !runs(program))?;
    Some(format!("there is no {missing}; Debian has it in chromium and chromium-driver"))
}

/// Returns the folder of the screenshots.
pub(crate) fn pictures() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("dashboard");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Each test has its own browser, which ends when this value is dropped.
pub(crate) struct Browser {
    test: String,
    page: Client,
    driver: Child,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killing only the driver would leave its browser running.
        let group = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}

impl Browser {
    pub(crate) async fn start(test: &str) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = |line: &str| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        };
        let port = output.take(20).find_map(|line| port(&line)).expect("chromedriver has no port");
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:chromeOptions": { "args": [
                "--headless=new",
                // The browser shows only this project's own page, and tests may run as root.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-first-run",
                "--disable-crash-reporter",
                "--disable-background-networking",
                "--no-proxy-server",
                "--hide-scrollbars",
                "--lang=en",
                "--window-size=1280,800",
                format!("--user-data-dir={}", profile.path().display()),
            ] },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("no session");
        Self { test: test.to_owned(), page, driver, _profile: profile }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// Opens the page and waits until it shows the present state.
    pub(crate) async fn open_live(&self, url: &str) {
        self.open(url).await;
        self.until_live().await;
    }

    pub(crate) async fn until_live(&self) {
        let live = "return !document.body.classList.contains('stale') \
                    && banner() === ''";
        self.until("the page is live", live, &[]).await;
    }

    pub(crate) async fn js(&self, script: &str, arguments: &[Value]) -> Value {
        let script = format!("{PRELUDE}{script}");
        self.page.execute(&script, arguments.to_vec()).await.unwrap()
    }

    /// Waits until the script returns a true value, and returns it.
    pub(crate) async fn until(&self, what: &str, script: &str, arguments: &[Value]) -> Value {
        let started = Instant::now();
        loop {
            let value = self.js(script, arguments).await;
            if !matches!(value, Value::Null | Value::Bool(false)) && value != "" && value != 0 {
                return value;
            }
            if started.elapsed() > TEST_TIMEOUT {
                self.picture(&format!("failed-{}", self.test)).await;
                let page = self.js("return document.body.innerText", &[]).await;
                let log = self.log().await;
                panic!("timed out: {what}\n{}\n{log:#?}", page.as_str().unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until that part of a lock's row contains the words, and returns all of its text.
    pub(crate) async fn until_row(&self, name: &str, selector: &str, words: &str) -> String {
        let script = "const shown = text(...arguments) ?? ''; \
                      return shown.includes(arguments[2]) ? shown : null";
        let what = format!("{name:?} has {words:?} in its {selector}");
        let arguments = [name, selector, words].map(Value::from);
        self.until(&what, script, &arguments).await.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn until_banner(&self, words: &str) -> String {
        let script = "return banner().includes(arguments[0]) ? banner() : null";
        let text = self.until(&format!("the banner says {words:?}"), script, &[words.into()]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Returns the token that is shown for a lock.
    pub(crate) async fn token(&self, name: &str) -> u64 {
        let shown = self.js("return text(arguments[0], '.token')", &[name.into()]).await;
        shown.as_str().unwrap_or_default().parse().unwrap_or_else(|_| panic!("{shown}"))
    }

    /// Returns the shown time left of a lease, which is less than a minute, in seconds.
    pub(crate) async fn seconds_left(&self, name: &str) -> u64 {
        let shown = self.js("return text(arguments[0], '.seconds')", &[name.into()]).await;
        let seconds = shown.as_str().and_then(|shown| shown.strip_suffix(" s"));
        seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| panic!("{shown}"))
    }

    pub(crate) async fn find(&self, selector: &str) -> Element {
        self.page.find(Locator::Css(selector)).await.unwrap()
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    /// Clicks a part of a lock's row, as a person does: it must be visible and on top.
    pub(crate) async fn click_row(&self, name: &str, selector: &str) {
        let element = self.js("return part(...arguments)", &[name.into(), selector.into()]).await;
        let id = element.as_object().and_then(|element| element.values().next()?.as_str());
        let id = id.unwrap_or_else(|| panic!("{name:?} has no {selector}")).to_owned();
        Element::from_element_id(self.page.clone(), id.into()).click().await.unwrap();
    }

    /// Types into the element that has the focus.
    pub(crate) async fn keys(&self, keys: &str) {
        self.page.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Submits the dialog that a button of a row opened.
    pub(crate) async fn submit(&self, reason: Option<&str>) {
        if let Some(reason) = reason {
            self.find("#act-reason").await.send_keys(reason).await.unwrap();
        }
        self.click("#act-do").await;
    }

    pub(crate) async fn until_focus(&self, id: &str) {
        let script = "return document.activeElement.id === arguments[0]";
        self.until(&format!("{id} has the focus"), script, &[id.into()]).await;
    }

    /// Asserts that the contrast of text meets WCAG 2 (AA).
    pub(crate) async fn assert_contrast(&self) {
        assert_eq!(self.js(CONTRAST, &[]).await, json!([]));
    }

    pub(crate) async fn until_closed(&self, dialog: &str) {
        let script = "return !document.getElementById(arguments[0]).open";
        self.until(&format!("the dialog {dialog} closes"), script, &[dialog.into()]).await;
    }

    pub(crate) async fn picture(&self, name: &str) -> PathBuf {
        let file = pictures().join(format!("{name}.png"));
        std::fs::write(&file, self.page.screenshot().await.unwrap()).unwrap();
        file
    }

    /// Sends a command of Chromium's developer tools.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.page.issue_cmd(Extension { path: "goog/cdp/execute", body }).await.unwrap();
    }

    /// Sets the size of the window, as on a phone or a desktop.
    pub(crate) async fn size(&self, width: u32, height: u32, phone: bool) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub(crate) async fn colours(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Discards the log so far.
    pub(crate) async fn drop_log(&self) {
        self.log().await;
    }

    async fn log(&self) -> Vec<Value> {
        let body = json!({ "type": "browser" });
        let log = self.page.issue_cmd(Extension { path: "se/log", body }).await.unwrap();
        log.as_array().cloned().unwrap_or_default()
    }

    /// Asserts that the page had no error, broke no policy, and sent requests only to its server.
    pub(crate) async fn assert_clean(&self) {
        // The browser itself logs error responses, which the tests provoke.
        let is_error = |entry: &Value| entry["source"] != "network" && entry["level"] != "INFO";
        let log: Vec<_> = self.log().await.into_iter().filter(is_error).collect();
        assert!(log.is_empty(), "{log:#?}");
        let outside = "return performance.getEntriesByType('resource').map(({ name }) => name) \
                       .filter((name) => !name.startsWith(`${location.origin}/`))";
        assert_eq!(self.js(outside, &[]).await, json!([]));
        let requests = "return performance.getEntriesByType('resource').length";
        self.until("the list of requests is not empty", requests, &[]).await;
    }
}

/// This command exists in chromedriver but not in WebDriver.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (axum::http::Method, Option<String>) {
        (axum::http::Method::POST, Some(self.body.to_string()))
    }
}

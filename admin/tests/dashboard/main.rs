//! The dashboard as people have it: in Chromium, on a real store, with elections that run.
//!
//! Without `chromium` and `chromedriver` (Debian has them in `chromium` and `chromium-driver`;
//! `cargo xtask test` installs them) its tests are listed as ignored. With
//! `LEASEHOLD_TEST_BROWSER=required` they fail instead. Pictures are left in
//! `target/dashboard`; with `LEASEHOLD_TEST_PICTURE=FILE` the one in `docs/` is written there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod browser;
mod errors;
mod hostile;
mod keyboard;
mod looks;
mod many;
mod mounted;
mod operate;
mod stage;
mod takeover;

use std::process::ExitCode;

use browser::Browser;
use libtest_mimic::{Arguments, Completion, Trial};
use tokio::runtime::Runtime;

/// Browsers that run at a time.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trials = vec![
        trial("a_takeover_is_seen", async |browser| takeover::is_seen(browser).await),
        trial("a_crash_is_seen", async |browser| takeover::of_a_crashed_leader(browser).await),
        trial("disable_and_enable", async |browser| operate::disable_and_enable(browser).await),
        trial("fifty_are_reached", async |browser| operate::fifty(browser).await),
        trial("resign", async |browser| operate::resign(browser).await),
        trial("a_token_is_asked_for", async |browser| errors::token(browser).await),
        trial("the_store_is_away", async |browser| errors::store_away(browser).await),
        trial("the_server_is_gone", async |browser| errors::server_gone(browser).await),
        trial("hostile_text_is_text", async |browser| hostile::text_is_text(browser).await),
        trial("every_name_can_be_operated", async |browser| hostile::names(browser).await),
        trial("keyboard", async |browser| keyboard::all_by_keys(browser).await),
        trial("thousands", async |browser| many::two_thousand(browser).await),
        trial("mounted_with_standbys", async |browser| mounted::standbys(browser).await),
        trial("phone_and_dark", async |browser| looks::phone_and_dark(browser).await),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial<F>(name: &str, run: F) -> Trial
where
    F: AsyncFnOnce(&Browser) + Send + 'static,
{
    let of = name.to_owned();
    Trial::ignorable_test(name, move || {
        if let Some(missing) = browser::missing() {
            if std::env::var_os("LEASEHOLD_TEST_BROWSER").is_some_and(|said| said == "required") {
                return Err(missing.into());
            }
            return Ok(Completion::ignored_with(missing));
        }
        let runtime = Runtime::new()?;
        runtime.block_on(async {
            let browser = Browser::start(&of).await;
            run(&browser).await;
            browser.assert_clean().await;
        });
        Ok(Completion::Completed)
    })
}

//! These tests use the dashboard as people do: in Chromium, on a real store, with running
//! elections.
//!
//! Without `chromium` and `chromedriver` (Debian has them in `chromium` and `chromium-driver`;
//! `cargo xtask test` installs them) its tests are listed as ignored. With
//! `LEASEHOLD_TEST_BROWSER=required` they fail instead. Pictures are left in
//! `target/dashboard`; with `LEASEHOLD_TEST_PICTURE=FILE` the one in `docs/` is written there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod browser;
mod errors;
mod fixture;
mod hostile;
mod keyboard;
mod looks;
mod many;
mod mounted;
mod operate;
mod queues;
mod takeover;

use std::process::ExitCode;

use browser::Browser;
use libtest_mimic::{Arguments, Completion, Trial};
use tokio::runtime::Runtime;

/// At most this many browsers run at a time.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trials = vec![
        trial("a_takeover_is_shown", async |browser| takeover::is_shown(browser).await),
        trial("a_takeover_after_a_crash_is_shown", async |browser| {
            takeover::of_a_crashed_leader(browser).await;
        }),
        trial("an_operator_disables_and_enables_a_lock", async |browser| {
            operate::disable_and_enable(browser).await;
        }),
        trial("clicks_reach_fifty_instances", async |browser| {
            operate::fifty_instances(browser).await;
        }),
        trial("an_operator_resigns_a_leader", async |browser| operate::resign(browser).await),
        trial("holders_and_queues_are_shown", async |browser| queues::are_shown(browser).await),
        trial("the_page_requires_the_token", async |browser| errors::token(browser).await),
        trial("a_store_outage_is_shown", async |browser| errors::store_outage(browser).await),
        trial("a_lost_connection_is_shown", async |browser| errors::lost_connection(browser).await),
        trial("hostile_text_is_not_interpreted", async |browser| {
            hostile::text_is_text(browser).await;
        }),
        trial("every_name_can_be_disabled", async |browser| hostile::names(browser).await),
        trial("the_keyboard_reaches_every_action", async |browser| {
            keyboard::every_action(browser).await;
        }),
        trial("two_thousand_locks_do_not_freeze_the_page", async |browser| {
            many::two_thousand(browser).await;
        }),
        trial("a_mounted_page_shows_standbys", async |browser| mounted::standbys(browser).await),
        trial("the_page_fits_a_phone_and_dark_mode", async |browser| {
            looks::phone_and_dark(browser).await;
        }),
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
            if std::env::var_os("LEASEHOLD_TEST_BROWSER").is_some_and(|value| value == "required") {
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

//! The page works on a phone and in dark mode; one of its pictures is for the documentation.

use std::time::Duration;

use leasehold_core::election::ElectionHandle;
use leasehold_core::{Client, Holder};
use serde_json::Value;

use crate::browser::Browser;
use crate::fixture::{Fixture, campaign, leads, stops};
use crate::mounted::{instance, mount};

pub(crate) async fn phone_and_dark(browser: &Browser) {
    let fixture = Fixture::new().await;
    let candidates = Candidates::on(&fixture).await;
    let url = format!("{}/leasehold/", mount(&fixture, candidates.instances()).await);
    browser.size(1280, 640, false).await;
    browser.colours("light").await;
    browser.open_live(&url).await;
    browser.until_row("billing/nightly", ".standbys", "api-3").await;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.js(ground, &[]).await;
    browser.assert_contrast().await;
    let asked = std::env::var_os("LEASEHOLD_TEST_PICTURE");
    candidates.resign_leaders(asked.is_some()).await;
    let terms = "return part('billing/nightly', '.strip').children.length > 1";
    browser.until("terms are drawn", terms, &[]).await;
    let picture = browser.picture("wide-light").await;
    if let Some(file) = asked {
        std::fs::copy(picture, file).unwrap();
    }

    browser.colours("dark").await;
    let dark = browser.js(ground, &[]).await;
    assert_ne!(dark, light);
    browser.assert_contrast().await;
    browser.picture("wide-dark").await;

    browser.size(390, 844, true).await;
    let cards = "return getComputedStyle(document.querySelector('thead')).display === 'none' \
                 && document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    browser.until("each lock is a card as wide as the phone", cards, &[]).await;
    let reached = "return [...document.querySelectorAll('tr[data-lock] .actions button')] \
        .filter((button) => !button.hidden) \
        .every((button) => button.getBoundingClientRect().height >= 44)";
    assert_eq!(browser.js(reached, &[]).await, true, "buttons are large enough to touch");
    browser.picture("phone-dark").await;
    browser.colours("light").await;
    browser.assert_contrast().await;
    browser.picture("phone-light").await;

    browser.click_row("billing/nightly", ".switch").await;
    let within = "const box = document.querySelector('#act').getBoundingClientRect(); \
                  return box.left >= 0 && box.right <= innerWidth && box.height > 0";
    browser.until("the dialog fits", within, &[]).await;
    browser.picture("phone-dialog").await;
    browser.click("#act-cancel").await;
}

const NAMES: [&str; 4] = ["billing/nightly", "cache/refresh", "mail/digest", "search/reindex"];

/// These are three instances, each of which leads some names and is a standby for others.
struct Candidates {
    instances: Vec<(Client, Vec<(&'static str, ElectionHandle)>)>,
}

impl Candidates {
    async fn on(fixture: &Fixture) -> Self {
        // Pictures must not show the machine's own name.
        let of = |host: &str| Holder::new(Holder::current().instance, host, std::process::id());
        let operator = Client::builder(fixture.store.clone()).holder(of("desk-4"));
        let operator = operator.label("ops@console").build().unwrap();
        operator.disable("reports/monthly", "the ledger is migrated until Friday").await.unwrap();
        operator.disable("cleanup", "x").await.unwrap();
        operator.enable("cleanup").await.unwrap();
        let mut instances = Vec::new();
        for number in 0..3 {
            let client = Client::builder(fixture.store.clone());
            let client = client.holder(of(&format!("node-{number}")));
            let client = client.label(format!("api-{}", number + 1)).build().unwrap();
            // Each instance leads one name, and all but the last name have standbys.
            let mut campaigns = Vec::new();
            for (place, name) in NAMES.into_iter().enumerate() {
                if place == number || (place == 3 && number == 0) {
                    let campaign = campaign(&client, name);
                    leads(&campaign).await;
                    campaigns.push((name, campaign));
                }
            }
            instances.push((client, campaigns));
        }
        for (client, campaigns) in &mut instances {
            for name in &NAMES[..3] {
                if campaigns.iter().all(|(other, _)| other != name) {
                    campaigns.push((name, campaign(client, name)));
                }
            }
        }
        Self { instances }
    }

    fn instances(&self) -> Value {
        let view = |(client, campaigns): &(Client, Vec<(&str, ElectionHandle)>)| {
            let holder = client.holder();
            let names: Vec<_> = campaigns.iter().map(|(name, _)| *name).collect();
            let label = holder.label.as_deref().unwrap_or_default();
            instance(&holder.instance.to_string(), label, &names)
        };
        self.instances.iter().map(view).collect()
    }

    /// Makes leaders resign; pauses in between let the picture show terms.
    async fn resign_leaders(&self, with_pauses: bool) {
        let rounds: &[usize] = if with_pauses { &[0, 1, 0, 2, 0] } else { &[0] };
        for place in rounds {
            if with_pauses {
                tokio::time::sleep(Duration::from_secs(7)).await;
            }
            let name = NAMES[*place];
            let all = self.instances.iter().flat_map(|(_, campaigns)| campaigns);
            let mut leaders =
                all.filter(|(of, campaign)| *of == name && campaign.status().is_leading());
            if let Some((_, leader)) = leaders.next() {
                leader.resign().await;
                stops(leader).await;
            }
        }
        if with_pauses {
            tokio::time::sleep(Duration::from_secs(9)).await;
        }
    }
}

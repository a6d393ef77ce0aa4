//! Promises `settings-agree` and `pure-machine`: contradictory settings are refused at the start,
//! and the machine is pure.

use std::time::Duration;

use leasehold_core::election::machine::{Event, Machine};
use leasehold_core::lease::machine::{AcquireReply, Event as LeaseEvent};
use leasehold_core::{Client, FencingToken, Grant, MAX_TTL, Moment, Settings};

use super::engine::client;
use crate::{CaseResult, Ctx};

crate::case::cases! {
    SettingsAgree: [
        contradictory_settings_are_refused_before_any_write,
        the_minimum_ttl_of_the_store_is_valid_with_all_defaults,
    ],
    PureMachine: [
        the_machine_depends_only_on_its_events_and_the_given_time,
    ],
}

async fn contradictory_settings_are_refused_before_any_write(ctx: Ctx) -> CaseResult {
    let client = client(&ctx).await?;
    let too_short = ctx.capabilities().min_ttl - Duration::from_nanos(1);
    for settings in [
        Settings::new().ttl(Duration::ZERO),
        Settings::new().ttl(too_short),
        Settings::new().ttl(MAX_TTL + Duration::from_nanos(1)),
        Settings::new().stop_grace(Duration::from_secs(15)),
        Settings::new().heartbeat_interval(Duration::from_secs(15)),
        Settings::new().tolerance(Duration::from_secs(15)),
        Settings::new().heartbeat_interval(Duration::from_secs(3)).heartbeat_retries(50),
    ] {
        assert!(client.lock("job")?.settings(&settings).unwrap_err().is_invalid());
        assert!(client.election("job")?.settings(&settings).unwrap_err().is_invalid());
        let store = client.store().clone();
        assert!(Client::builder(store).settings(settings).build().unwrap_err().is_invalid());
    }
    assert_eq!(client.status("job").await?.token, None);
    Ok(())
}

async fn the_minimum_ttl_of_the_store_is_valid_with_all_defaults(ctx: Ctx) -> CaseResult {
    let least = Settings::new().ttl(ctx.capabilities().min_ttl);
    least.resolve(&ctx.capabilities())?;
    Ok(())
}

async fn the_machine_depends_only_on_its_events_and_the_given_time(ctx: Ctx) -> CaseResult {
    let settings = Settings::new().ttl(ctx.in_steps(Duration::from_secs(15)));
    let timing = settings.resolve(&ctx.capabilities())?;
    let at = |millis| Moment::from_origin(Duration::from_millis(millis));
    let history = [
        (0, Event::TICK),
        (5, {
            let reply = AcquireReply::Held { left: Duration::from_secs(1), watched: false };
            Event::Lease(LeaseEvent::AcquireReplied { sent: at(0), reply })
        }),
        (500, Event::Lease(LeaseEvent::Hint)),
        (510, {
            let token = FencingToken::new(7)?;
            let reply = AcquireReply::Granted(Grant::new(token, timing.ttl));
            Event::Lease(LeaseEvent::AcquireReplied { sent: at(500), reply })
        }),
        (900, Event::Resign),
        (950, Event::JobEnded),
        (990, Event::Lease(LeaseEvent::ReleaseReplied { confirmed: true })),
        (995, Event::ShutDown),
    ];
    let run = || {
        let mut machine = Machine::new(timing.clone(), at(0));
        let results = history.iter().map(|(now, event)| machine.handle(event.clone(), at(*now)));
        (results.collect::<Vec<_>>(), machine.role())
    };
    let first = run();
    // This is later on the real clock, but not for the machine.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(first, run());
    Ok(())
}

//! The watchdog's process is plain, synchronous code with few possible failures.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use leasehold::{Clock, SystemClock};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::alarm::Alarm;
use super::decision::{Ending, WatchdogState};
use super::release::{Surroundings, release};
use super::stderr::DetachedStderr;
use super::{ARMED, COMMAND, ENDING, Order};
use crate::io::exit::Failure;

/// A group that is being ended is first checked after this time, because most commands end at once.
const FIRST_CHECK: Duration = Duration::from_millis(1);

/// The pause between checks grows to this.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A killed process that does not end within this many checks is blocked in the kernel, and does
/// not run again.
const CHECKS_AFTER_KILL: u32 = 500;

pub(in crate::cmd::run) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let grace = args.next().and_then(|nanos| nanos.to_str()?.parse().ok());
    let Some(grace) = grace.map(Duration::from_nanos) else {
        let message = format!("{COMMAND} is internal to `leasehold run`");
        return ExitCode::from(Failure::usage(message).report());
    };
    // This exits silently: the supervisor starts no command without a watchdog.
    if let Ok((alarm, surroundings)) = prepare() {
        watch(WatchdogState::new(grace), &alarm, &surroundings);
    }
    ExitCode::SUCCESS
}

/// Watches the group until it has ended.
fn watch(mut state: WatchdogState, alarm: &Alarm, surroundings: &Surroundings) {
    let mut orders = Orders::default();
    let Some(ending) = wait(&mut state, &mut orders, alarm) else { return };
    end(ending);
    // A supervisor that still runs releases its lease itself, or lets it expire.
    let supervisor_exited = matches!(orders.read(&mut state), Ok(false));
    if supervisor_exited && let Some((lease, deadline)) = state.lease_to_release() {
        release(lease, ending.group, deadline, surroundings);
    }
}

/// Waits until the group has to be ended; returns `None` if there is no group to watch.
fn wait(state: &mut WatchdogState, orders: &mut Orders, alarm: &Alarm) -> Option<Ending> {
    let mut armed = false;
    loop {
        // All orders are handled before any deadline: a watchdog that was delayed itself must not
        // act on a deadline that has been moved.
        match orders.read(state) {
            Ok(true) => {}
            Ok(false) | Err(_) => return state.supervisor_exited(SystemClock.now()),
        }
        if state.is_armed() && !armed {
            armed = true;
            report(ARMED);
        }
        if let Some(ending) = state.overdue(SystemClock.now()) {
            return Some(ending);
        }
        if alarm.wait(io::stdin(), state.act_at()).is_err() {
            // A watchdog that cannot wait must not let the group continue.
            return state.supervisor_exited(SystemClock.now());
        }
    }
}

/// Detaches from the supervisor's terminal, group, folder and standard error, and ignores signals
/// meant for it.
fn prepare() -> io::Result<(Alarm, Surroundings)> {
    // This fails only for the leader of a group, which this process is not.
    let _ = rustix::process::setsid();
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    // With its own name, a `killall leasehold` that ends the supervisor does not end its watchdog
    // too.
    #[cfg(target_os = "linux")]
    rustix::thread::set_name(c"lease-watchdog")?;
    let surroundings =
        Surroundings { folder: std::env::current_dir().ok(), stderr: DetachedStderr::detach()? };
    std::env::set_current_dir("/")?;
    let flags = fcntl_getfl(io::stdin())?;
    fcntl_setfl(io::stdin(), flags | OFlags::NONBLOCK)?;
    Ok((Alarm::new()?, surroundings))
}

/// The orders arrive in lines, which may arrive in parts.
#[derive(Default)]
struct Orders {
    partial: Vec<u8>,
}

impl Orders {
    /// Reads all orders that have arrived, and returns whether more may come.
    fn read(&mut self, state: &mut WatchdogState) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        loop {
            // The read is unbuffered, so that `poll` sees all remaining input.
            match rustix::io::read(io::stdin(), &mut buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => self.take(&buffer[..read], state),
                Err(rustix::io::Errno::AGAIN) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, bytes: &[u8], state: &mut WatchdogState) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            if let Some(order) = std::str::from_utf8(&line[..end]).ok().and_then(Order::parse) {
                state.apply(order);
            }
        }
    }
}

/// Ends the group, and waits until it has ended.
fn end(Ending { group, terminate, kill_at }: Ending) {
    // The report comes first, so that a supervisor that continues later knows that the watchdog
    // ended the group.
    report(ENDING);
    if terminate {
        group.terminate();
    }
    let mut pause = FIRST_CHECK;
    loop {
        let left = kill_at.saturating_since(SystemClock.now());
        if left.is_zero() {
            break;
        }
        if !group.is_alive() {
            return;
        }
        std::thread::sleep(left.min(pause));
        pause = (pause * 2).min(CHECK_INTERVAL);
    }
    for _ in 0..CHECKS_AFTER_KILL {
        group.kill();
        if !group.is_alive() {
            return;
        }
        std::thread::sleep(CHECK_INTERVAL);
    }
}

/// Sends a report to the supervisor, if it still runs.
fn report(byte: u8) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(&[byte]).and_then(|()| out.flush());
}

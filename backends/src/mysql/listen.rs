//! The waiter's side of bells: a few connections per store, on which it stands in line for the bells
//! of those who hold what it was refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::error::READ_ONLY;
use super::user_lock::{Heard, Line, Tower};
use crate::LockName;

/// The most holders that a store listens for at once; for others' releases it polls.
const MOST_LINES: usize = 3;

/// The seconds for which a waiter waits for a user-level lock: 0 at first, which tells whether a
/// session keeps it, and then this many before the waiter checks whether it still has to wait.
const LOOK: u32 = 0;
const TURN: u32 = 5;

/// A name counts as disabled for this long after an attempt found it so.
const DISABLED: Duration = Duration::from_secs(120);

/// How long a connection is kept that nobody is listened for on.
const LINGER: Duration = Duration::from_secs(5);

/// The pauses after an answer that came at once: there is no bell, or it is rung all the time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// The longest pause after a user-level lock that was granted at once.
const RUNG: Duration = Duration::from_millis(200);

/// The longest pause after an error.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An answer that comes sooner was not waited for.
const AT_ONCE: Duration = Duration::from_millis(5);

/// Listens for bells, in tasks that live while there is a watch and somebody to listen for.
pub(super) struct Ears(Arc<Inner>);

struct Inner {
    tower: Tower,
    state: Mutex<State>,
    /// Wakes a task that has nobody to listen for.
    wake: Notify,
    rang: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    watches: usize,
    /// What was refused: who holds it, and until when unless that is renewed. Whoever still waits
    /// then asks again.
    wanted: HashMap<LockName, (Uuid, Instant)>,
    /// The names that an attempt found disabled, and when. No user-level lock announces that a name
    /// is enabled.
    disabled: HashMap<LockName, Instant>,
    /// The holders for which a task listens, and whether it waits for their user-level lock.
    heeded: HashMap<Uuid, bool>,
    tasks: Vec<AbortHandle>,
}

impl State {
    /// Whom no task listens for yet.
    fn unheeded(&self) -> Option<Uuid> {
        let mut holders = self.wanted.values().map(|(holder, _)| *holder);
        holders.find(|holder| !self.heeded.contains_key(holder))
    }
}

impl Ears {
    pub(super) fn new(tower: Tower) -> Self {
        let (state, wake, rang) = (Mutex::default(), Notify::new(), watch::Sender::new(()));
        Self(Arc::new(Inner { tower, state, wake, rang }))
    }

    /// For a watch: while it lives, bells are listened for.
    pub(super) fn attend(&self) -> Attention {
        self.0.state().watches += 1;
        Attention { inner: Arc::clone(&self.0), rang: self.0.rang.subscribe() }
    }

    /// The name is held by that holder.
    pub(super) fn refused(&self, name: &LockName, holder: Uuid, left: Duration) {
        let mut state = self.0.state();
        if state.watches == 0 {
            return;
        }
        state.disabled.remove(name);
        state.wanted.insert(name.clone(), (holder, Instant::now() + left));
        if state.heeded.contains_key(&holder) {
            return;
        }
        // A task may have gone with its runtime.
        state.tasks.retain(|task| !task.is_finished());
        if state.tasks.len() > state.heeded.len() {
            self.0.wake.notify_one();
        } else if state.tasks.len() < MOST_LINES {
            let task = tokio::spawn(run(Arc::clone(&self.0)));
            state.tasks.push(task.abort_handle());
        }
    }

    /// Notes that the name was granted, or that this store's own watches are told of its release.
    pub(super) fn forget(&self, name: &LockName) {
        let mut state = self.0.state();
        state.wanted.remove(name);
        state.disabled.remove(name);
    }

    /// Notes that the name is disabled.
    pub(super) fn disabled(&self, name: &LockName) {
        let mut state = self.0.state();
        state.wanted.remove(name);
        if state.watches > 0 {
            state.disabled.insert(name.clone(), Instant::now());
        }
    }

    /// Has the watches look.
    pub(super) fn rang(&self) {
        self.0.rang.send_replace(());
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.0.state().tasks.drain(..).for_each(|task| task.abort());
    }
}

/// A watch's share in listening.
pub(super) struct Attention {
    inner: Arc<Inner>,
    rang: watch::Receiver<()>,
}

impl Attention {
    /// Returns when a bell rang since the last return.
    pub(super) async fn rang(&mut self) {
        // The sender lives as long as this does.
        _ = self.rang.changed().await;
    }

    /// Returns whether a change is waited for that no user-level lock will announce.
    pub(super) fn waits_untold(&self) -> bool {
        let now = Instant::now();
        let mut state = self.inner.state();
        state.wanted.retain(|_, (_, until)| *until > now);
        state.disabled.retain(|_, asked| now.duration_since(*asked) < DISABLED);
        let State { wanted, disabled, heeded, .. } = &*state;
        let told = |holder| heeded.get(holder).copied().unwrap_or(false);
        !disabled.is_empty() || wanted.values().any(|(of, _)| !told(of))
    }
}

impl Drop for Attention {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.watches -= 1;
        if state.watches == 0 {
            state.wanted.clear();
            state.disabled.clear();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is still wanted that this holder has.
    fn wants(&self, holder: Uuid) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        state.wanted.retain(|_, (_, until)| *until > now);
        state.wanted.values().any(|(of, _)| *of == holder)
    }

    /// Whom to listen for next.
    fn choose(&self) -> Option<Heeded<'_>> {
        let now = Instant::now();
        let mut state = self.state();
        state.wanted.retain(|_, (_, until)| *until > now);
        let holder = state.unheeded()?;
        state.heeded.insert(holder, false);
        if state.unheeded().is_some() {
            self.wake.notify_one();
        }
        Some(Heeded { inner: self, holder })
    }
}

/// A holder who is listened for, until this is dropped.
struct Heeded<'a> {
    inner: &'a Inner,
    holder: Uuid,
}

impl Heeded<'_> {
    /// Notes whether the task waits for this holder's user-level lock.
    fn waits(&self, waits: bool) {
        if let Some(heeded) = self.inner.state().heeded.get_mut(&self.holder) {
            *heeded = waits;
        }
    }
}

impl Drop for Heeded<'_> {
    fn drop(&mut self) {
        self.inner.state().heeded.remove(&self.holder);
    }
}

async fn run(inner: Arc<Inner>) {
    let mut line = None;
    let closed = inner.tower.pool.close_event();
    tokio::select! {
        () = serve(&inner, &mut line) => {}
        () = closed => {}
    }
    if let Some(line) = line {
        line.close().await;
    }
}

async fn serve(inner: &Inner, line: &mut Option<Line>) {
    let mut left = inner.tower.left();
    loop {
        match inner.choose() {
            Some(heeded) => heed(&heeded, line, &mut left).await,
            None => {
                if timeout(LINGER, inner.wake.notified()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Listens for one holder while anything of theirs is wanted.
async fn heed(heeded: &Heeded<'_>, line: &mut Option<Line>, left: &mut watch::Receiver<()>) {
    let Heeded { inner, holder } = heeded;
    let bell = inner.tower.bell(*holder);
    let (mut pause, longest) = PAUSES;
    let mut turn = LOOK;
    while inner.wants(*holder) {
        let asked = Instant::now();
        let answer = tokio::select! {
            answer = listen(&inner.tower, line, &bell, turn) => answer,
            // The next connection follows the address.
            Ok(()) = left.changed() => Err(sqlx::Error::Protocol(READ_ONLY.into())),
        };
        let waited = asked.elapsed() >= AT_ONCE;
        let waits = match answer {
            Ok(Heard::Nothing) => waited || turn == LOOK,
            Ok(Heard::Ring) => waited,
            Ok(Heard::NoBell) | Err(_) => false,
        };
        heeded.waits(waits);
        turn = if waits { TURN } else { LOOK };
        let most = match answer {
            Ok(heard) => {
                if heard == Heard::Ring {
                    inner.rang.send_replace(());
                }
                if waited {
                    pause = PAUSES.0;
                }
                if waits {
                    continue;
                }
                // Whatever answers, it is not asked all the time.
                if heard == Heard::Ring { RUNG } else { longest }
            }
            Err(error) => {
                tracing::debug!(%error, "no bell can be listened for: waiters poll meanwhile");
                *line = None;
                LONGEST_PAUSE
            }
        };
        sleep(pause.min(most).mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(most);
    }
}

async fn listen(
    tower: &Tower,
    line: &mut Option<Line>,
    bell: &str,
    turn: u32,
) -> sqlx::Result<Heard> {
    let line = match line {
        Some(line) => line,
        empty => empty.insert(Line::open(tower).await?),
    };
    line.listen(bell, turn).await
}

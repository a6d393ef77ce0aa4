//! Records panics, which would otherwise only end the tasks that raise them.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    /// These are the panics that this thread raised while they are recorded.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs the function, and returns its result and the panics that this thread raised until its end.
pub(super) fn recorded_panics<T>(run: impl FnOnce() -> T) -> (T, Vec<String>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            note(panic);
            before(panic);
        }));
    });
    PANICS.set(Some(Vec::new()));
    let done = run();
    (done, PANICS.take().unwrap_or_default())
}

fn note(panic: &PanicHookInfo<'_>) {
    PANICS.with_borrow_mut(|recorded| {
        if let Some(recorded) = recorded {
            recorded.push(panic.to_string());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_in_tasks_are_recorded_and_resume_unwind_is_not() {
        let raise_panics = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(async {
                let unwinds = async { std::panic::resume_unwind(Box::new("simulated failure")) };
                let _: Result<(), _> = tokio::spawn(unwinds).await;
                let panics = async { assert_eq!(1 + 1, 3, "arithmetic") };
                tokio::spawn(panics).await
            });
        };
        let ((), panics) = recorded_panics(raise_panics);
        assert!(panics.len() == 1 && panics[0].contains("arithmetic"), "{panics:?}");
        assert!(recorded_panics(|| ()).1.is_empty());
    }
}

//! The command's environment names the lock and the term, and its processes inherit it.

use leasehold::{FencingToken, LockName};
#[cfg(target_os = "linux")]
use rustix::io::Errno;

#[cfg(target_os = "linux")]
use super::processes;

/// This variable has the floor of the term.
pub(super) const FLOOR: &str = "LEASEHOLD_FLOOR";

/// Returns the variable with the floor of a term, which the command gets if the floor is not the
/// token.
pub(super) fn floor(token: FencingToken, floor: FencingToken) -> Option<(&'static str, String)> {
    (floor != token).then(|| (FLOOR, floor.to_string()))
}

/// Returns the variables that the command of every term gets.
pub(super) fn variables(name: &LockName, token: FencingToken) -> [(&'static str, String); 2] {
    [("LEASEHOLD_LOCK", name.as_str().to_owned()), ("LEASEHOLD_TOKEN", token.to_string())]
}

/// Returns whether a process runs that has inherited the variables of that term, in whatever group.
/// A process is not found if it has changed them, if its environment may not be read, or at the
/// moment in which another program replaces it (execve).
#[cfg(target_os = "linux")]
pub(super) fn is_inherited(name: &LockName, token: FencingToken) -> bool {
    let wanted = variables(name, token).map(|(name, value)| format!("{name}={value}"));
    // Without /proc this is unknown.
    let Ok(processes) = processes::folders() else { return true };
    processes.iter().any(|process| match processes::read(process, "environ") {
        Ok(environment) => has_all(&environment, &wanted),
        Err(Errno::ACCESS | Errno::PERM) => false,
        // Perhaps too many files are open.
        Err(_) => true,
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_inherited(_: &LockName, _: FencingToken) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn has_all(environment: &[u8], wanted: &[String]) -> bool {
    let has = |wanted: &String| {
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
    };
    wanted.iter().all(has)
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_process_that_inherited_the_environment_is_found() {
        let name = LockName::new("environment").unwrap();
        // Another run of this test may have its own process.
        let token = u64::from(std::process::id());
        let [token, other] =
            [token, token + (1 << 32)].map(|token| FencingToken::new(token).unwrap());
        let mut command = Command::new("sleep");
        let mut process = command.arg("600").envs(variables(&name, token)).spawn().unwrap();
        // A process that was just started has no environment for a moment.
        while !is_inherited(&name, token) {
            assert_eq!(process.try_wait().unwrap(), None);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!is_inherited(&name, other));
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(!is_inherited(&name, token));
    }

    #[test]
    fn both_variables_must_be_equal() {
        let wanted = ["A=1".to_owned(), "B=2".to_owned()];
        assert!(has_all(b"X=0\0B=2\0A=1\0", &wanted));
        assert!(!has_all(b"A=1\0B=23\0", &wanted));
        assert!(!has_all(b"A=1\0XB=2\0", &wanted));
        assert!(!has_all(b"", &wanted));
    }
}

//! The command's environment names the lock and the term, and its processes inherit it.

use leasehold::{FencingToken, LockName};

/// Returns the variables that the command of a term gets.
pub(super) fn variables(name: &LockName, token: FencingToken) -> [(&'static str, String); 2] {
    [("LEASEHOLD_LOCK", name.as_str().to_owned()), ("LEASEHOLD_TOKEN", token.to_string())]
}

/// Returns whether a process runs that has inherited the variables of that term, in whatever group.
/// A process that has changed them, or whose environment may not be read, is not found.
#[cfg(target_os = "linux")]
pub(super) fn is_inherited(name: &LockName, token: FencingToken) -> bool {
    let wanted = variables(name, token).map(|(name, value)| format!("{name}={value}"));
    // Without /proc this is unknown.
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    processes.flatten().any(|process| {
        let number = process.file_name();
        number.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
            && std::fs::read(process.path().join("environ"))
                .is_ok_and(|environment| has_all(&environment, &wanted))
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

    use super::*;

    #[test]
    fn a_process_that_inherited_the_environment_is_found() {
        let name = LockName::new("environment").unwrap();
        let [token, other] = [4711, 4712].map(|token| FencingToken::new(token).unwrap());
        let mut command = Command::new("sleep");
        let mut process = command.arg("600").envs(variables(&name, token)).spawn().unwrap();
        assert!(is_inherited(&name, token));
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

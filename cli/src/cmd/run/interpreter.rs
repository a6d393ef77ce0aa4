//! This module checks the interpreter that a script's first line names (`#!`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The system reads this much of a file to find the interpreter.
const MAX_BYTES: u64 = 256;

/// Describes a missing interpreter of a script. Returns `None` also for a file that is not a
/// script, or that may be run but not read.
pub(super) fn missing(path: &Path) -> Option<String> {
    // Opening another kind of file, such as a FIFO, could block until another process opens it too.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut start = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut start).ok()?;
    let interpreter = named_in(&start)?;
    // If the result is uncertain, as in a folder that may not be searched, the system decides.
    if Path::new(interpreter).try_exists().unwrap_or(true) {
        return None;
    }
    let mut why =
        format!("its first line names the interpreter {interpreter:?}, which does not exist");
    if interpreter.as_bytes().ends_with(b"\r") {
        why += "; its lines end in CRLF: convert them to LF, for example with dos2unix";
    }
    Some(why)
}

/// Returns the interpreter that the start of a file names.
fn named_in(start: &[u8]) -> Option<&OsStr> {
    let line = start.strip_prefix(b"#!")?;
    let line = &line[..line.iter().position(|byte| *byte == b'\n')?];
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    words.next().map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        assert_eq!(missing(&fifo), None);
    }

    #[test]
    fn the_interpreter_is_the_first_word_of_the_first_line() {
        let named =
            |start: &str| named_in(start.as_bytes()).map(|name| name.to_str().unwrap().to_owned());
        assert_eq!(named("#!/bin/sh\n").as_deref(), Some("/bin/sh"));
        assert_eq!(named("#! \t/bin/sh -e\nexit").as_deref(), Some("/bin/sh"));
        assert_eq!(named("#!/bin/sh\r\n").as_deref(), Some("/bin/sh\r"));
        for none in ["", "#!", "#!\n", "#! \n", "#!/bin/sh", "exit\n#!/bin/sh\n", "\u{7f}ELF\n"] {
            assert_eq!(named(none), None, "{none:?}");
        }
    }
}

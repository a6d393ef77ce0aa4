//! The version of the schema, which is stated in the comment on each table.

use crate::{Error, ErrorKind, Result};

/// The version that this program creates, and the newest that it can use.
const VERSION: u32 = 1;

/// The text before the version in a comment; an application may add text after the version.
const BEGINNING: &str = "leasehold schema ";

/// The first lines of the printed schema.
pub(super) const HEADING: &str = "\
-- Version 1 of the schema. Each statement can be repeated.
-- Tables without a comment were created before the schema had a version, and have the columns of
-- version 1: the statements COMMENT ON TABLE are all that takes them to version 1.
";

/// Returns the statement that marks a table with this version.
pub(super) fn comment(table: &str) -> String {
    format!("COMMENT ON TABLE {table} IS '{BEGINNING}{VERSION}'")
}

/// Refuses a table with a newer version. A table without a version counts as version 1.
pub(super) fn check(table: &str, comment: Option<&str>) -> Result<()> {
    let version = comment.and_then(|comment| comment.strip_prefix(BEGINNING));
    let Some(version) = version else { return Ok(()) };
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    match version[..digits].parse::<u32>() {
        Ok(version) if version <= VERSION => Ok(()),
        _ => {
            let shown: String = version.chars().take(20).collect();
            let message = format!(
                "the table \"{table}\" has version {shown:?} of the schema, and this version of \
                 leasehold knows only version {VERSION}"
            );
            Err(Error::new(ErrorKind::Unsupported, message)
                .with_fix("use a newer version of leasehold, or another namespace"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_refused_and_others_are_accepted() {
        for accepted in [
            None,
            Some(""),
            Some("locks of the billing team"),
            Some("leasehold schema 1"),
            Some("leasehold schema 1; see the wiki"),
        ] {
            check("t", accepted).unwrap();
        }
        for refused in ["leasehold schema 2", "leasehold schema 99999999999", "leasehold schema x"]
        {
            let error = check("t", Some(refused)).unwrap_err();
            assert!(error.is_unsupported(), "{error}");
            assert!(error.to_string().contains("use a newer version"), "{error}");
        }
        assert!(comment("t").contains(&format!("'{BEGINNING}{VERSION}'")));
    }
}

//! Code that several backends share.
#![allow(dead_code, unused_imports, reason = "which parts are used depends on the features")]

mod error_context;
mod nearest;
pub(crate) mod timeout;
pub(crate) mod url;
pub(crate) mod url_options;

pub(crate) use error_context::with_context;
pub(crate) use nearest::nearest;

//! The operations, one Lua script each, which the server runs with nothing else in between.

use std::sync::LazyLock;

/// A script and what the server knows it by.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) sha: String,
}

macro_rules! scripts {
    ($($name:ident $file:literal),+ $(,)?) => {$(
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let code = concat!(include_str!("scripts/common.lua"), include_str!($file));
            Script { code, sha: ::redis::Script::new(code).get_hash().to_owned() }
        });
    )+};
}

scripts!(
    ACQUIRE "scripts/acquire.lua",
    RENEW "scripts/renew.lua",
    RELEASE "scripts/release.lua",
    DISABLE "scripts/disable.lua",
    ENABLE "scripts/enable.lua",
    READ "scripts/read.lua",
);

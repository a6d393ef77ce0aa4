//! The operations, one Lua script each, which the server runs with nothing else in between.

use std::sync::LazyLock;

/// A script and what the server knows it by.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) sha: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, sha: ::redis::Script::new(code).get_hash().to_owned() }
    }
}

/// The script that a store runs when it opens. It does not include the common part, which begins
/// with commands that may be refused.
pub(super) static CHECK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/check.lua")));

macro_rules! scripts {
    ($($name:ident $file:literal),+ $(,)?) => {$(
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(include_str!("scripts/common.lua"), include_str!($file)))
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
    PRUNE "scripts/prune.lua",
);

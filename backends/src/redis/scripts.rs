//! The operations: each is a Lua script, which the server runs atomically.

use std::sync::LazyLock;

/// A script, with the hash by which the server finds it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) sha: String,
    /// This is true if running it twice has the same effect as running it once.
    pub(super) is_repeatable: bool,
}

impl Script {
    fn new(code: &'static str, is_repeatable: bool) -> Self {
        let sha = ::redis::Script::new(code).get_hash().to_owned();
        Self { code, sha, is_repeatable }
    }
}

/// The script that a store runs when it opens. It does not include the common part, which begins
/// with commands that may be refused.
pub(super) static CHECK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/check.lua"), true));

/// The script that renews leases, one for each of its keys.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        concat!(include_str!("scripts/common.lua"), include_str!("scripts/renew.lua")),
        true,
    )
});

macro_rules! scripts {
    ($($name:ident [$($file:literal)+] $is_repeatable:literal),+ $(,)?) => {$(
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(
                concat!(
                    include_str!("scripts/common.lua"),
                    include_str!("scripts/one.lua"),
                    $(include_str!($file)),+
                ),
                $is_repeatable,
            )
        });
    )+};
}

scripts!(
    ACQUIRE ["scripts/acquire.lua"] false,
    RELEASE ["scripts/write.lua" "scripts/release.lua"] false,
    ENTER ["scripts/queue.lua" "scripts/enter.lua"] false,
    LEAVE ["scripts/write.lua" "scripts/queue.lua" "scripts/leave.lua"] false,
    RENEW_ENTRIES ["scripts/queue.lua" "scripts/renew_entries.lua"] true,
    DISABLE ["scripts/write.lua" "scripts/disable.lua"] false,
    ENABLE ["scripts/write.lua" "scripts/enable.lua"] false,
    READ ["scripts/read.lua"] true,
    PRUNE ["scripts/prune.lua"] false,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LockName;
    use crate::shell::hint_text::MAX_LEASES;

    #[test]
    fn a_leave_writes_hints_as_they_are_read() {
        for part in
            [format!("#granted > {MAX_LEASES} "), format!("{} - #text", LockName::MAX_BYTES + 1)]
        {
            assert!(LEAVE.code.contains(&part), "{part}");
        }
    }
}

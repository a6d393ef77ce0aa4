//! The Lua code that checks and raises a fence.

/// This Lua code defines `leasehold_check(key, token, floor)`, for scripts that are not created with
/// [`RedisFence::script`](crate::redis::RedisFence::script), such as those of a Redis function.
///
/// It returns `nil` if the term may write. Otherwise it returns an error, which the script must
/// return before it writes, and which
/// [`RedisFence::error`](crate::redis::RedisFence::error) translates.
pub const CHECK: &str = include_str!("check.lua");

/// This Lua code checks the fence that a call was given, before the code of the application.
pub(super) const CHECK_BOUND_FENCE: &str = include_str!("check_bound_fence.lua");

/// This Lua code raises the fence. It follows [`CHECK`].
pub(super) const RAISE: &str = "local refused = leasehold_check(KEYS[1], ARGV[1], ARGV[2], true)
return refused or redis.status_reply('OK')
";

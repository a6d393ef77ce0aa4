//! A text that is accepted as a name, reason, namespace, lease id or token follows the rules, and
//! is unchanged after a conversion to text and JSON and back.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use leasehold::{Error, FencingToken, LeaseId, LockName, Namespace, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let fits = |most: usize| (1..=most).contains(&text.len()) && !text.contains('\0');
        assert_eq!(accepted::<LockName>(text), fits(LockName::MAX_BYTES));
        assert_eq!(accepted::<Reason>(text), fits(Reason::MAX_BYTES));
        let namespace = accepted::<Namespace>(text);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert_eq!(
            namespace,
            fits(32)
                && text.chars().all(plain)
                && text.starts_with(|c: char| c.is_ascii_lowercase())
        );
        if let Ok(id) = LeaseId::from_str(text) {
            assert_eq!(id.to_string(), text);
            through_json(&id);
        }
    }

    if let Ok(token) = serde_json::from_slice::<FencingToken>(bytes) {
        assert_eq!(FencingToken::new(token.get()).unwrap(), token);
    }
    if let Some(number) = bytes.first_chunk() {
        let number = u64::from_le_bytes(*number);
        let token = FencingToken::new(number);
        assert_eq!(token.is_ok(), (1..1 << 53).contains(&number));
        if let Ok(token) = token {
            assert_eq!(i64::from(token).cast_unsigned(), number);
            through_json(&token);
        }
    }
});

/// Returns whether the text is accepted. If so, asserts that each conversion returns the same
/// value.
fn accepted<T>(text: &str) -> bool
where
    T: FromStr<Err = Error> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let json = serde_json::to_string(text).unwrap();
    match T::from_str(text) {
        Ok(value) => {
            assert_eq!(value.to_string(), text);
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            through_json(&value);
            true
        }
        Err(error) => {
            assert!(!format!("{error} {error:?}").is_empty());
            assert!(serde_json::from_str::<T>(&json).is_err(), "{json} is accepted as JSON alone");
            false
        }
    }
}

fn through_json<T: Debug + PartialEq + Serialize + DeserializeOwned>(value: &T) {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&json).unwrap(), *value);
}

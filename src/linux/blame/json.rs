//! Reading back what the helper wrote. It is our own child, but it may have been cut short: nothing is taken for granted.

use serde_json::Value;

pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
}

pub(super) fn number(value: &Value, key: &str) -> Option<i32> {
    i32::try_from(value.get(key)?.as_i64()?).ok()
}

pub(super) fn list<T>(value: &Value, key: &str, from: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    value.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(from).collect()
}

pub(super) fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key, |item| Some(item.as_str()?.to_owned()))
}

//! JSON objects read strictly: no member twice, no deep nesting, nothing after the end.
//!
//! Two readers of one token that disagree on a duplicated member is how a claim is smuggled past a check (RFC 8725 2.4),
//! so a duplicate at any depth refuses the whole text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Deepest nesting read; tokens need four or five.
pub const DEPTH_MAX: u8 = 16;

/// Why a text is not an acceptable JSON object.
#[derive(Debug, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON, too deep, or a member stands twice.
    #[error("not strict JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// JSON, but no object.
    #[error("not a JSON object")]
    NotAnObject,
}

/// Reads exactly one object.
///
/// # Errors
/// See [`JsonFault`].
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth_left: DEPTH_MAX }.deserialize(&mut reader)?;
    reader.end()?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(JsonFault::NotAnObject),
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth_left: u8,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if map.contains_key(&name) {
                return Err(A::Error::custom("a member stands twice"));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_plain_objects_and_refuses_tricks() {
        for (text, readable) in [
            (r#"{"a":1,"b":["x",{"c":null}],"d":1.5,"e":-3,"f":true}"#, true),
            (r"{}", true),
            (r#" {"a":1} "#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":2}"#, false),
            (r#"{"x":{"a":1,"a":2}}"#, false),
            (r#"{"x":[{"a":1,"a":2}]}"#, false),
            (r#"{"a":1}{"b":2}"#, false),
            (r#"{"a":1} x"#, false),
            (r#"[{"a":1}]"#, false),
            (r"null", false),
            (r#"{"a":NaN}"#, false),
            (r#"{"a":01}"#, false),
            (r#"{"a":"\ud800"}"#, false),
            (r#"{'a':1}"#, false),
            (r#"{"a":1,}"#, false),
            ("", false),
        ] {
            assert_eq!(object(text.as_bytes()).is_ok(), readable, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}{}", r#"{"a":"#, "[".repeat(n), "]".repeat(n)) + "}";
        assert!(object(nested(usize::from(DEPTH_MAX) - 1).as_bytes()).is_ok());
        assert!(object(nested(usize::from(DEPTH_MAX)).as_bytes()).is_err());
        assert!(object(nested(8_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = object(&bytes);
        }

        #[test]
        fn agrees_with_serde_where_it_accepts(text in "[\\[\\]{}:,\"ab01 ]{0,40}") {
            if let Ok(map) = object(text.as_bytes()) {
                let plain: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(Value::Object(map), plain);
            }
        }
    }
}

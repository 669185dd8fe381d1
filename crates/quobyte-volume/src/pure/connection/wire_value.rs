//! `connection_info` as it travels: within bounds, and before any of its fields is read.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::error::ConnectionError;

/// Longest connection_info, in bytes. Cinder's are about a thousand.
pub const MAX_CONNECTION_INFO_LEN: usize = 1 << 20;

/// How deep the values of a connection_info nest at most, as serde_json has it. Cinder's nest three deep.
pub const MAX_CONNECTION_INFO_DEPTH: usize = 127;

/// A value of a connection_info. What no field of ours can hold is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireValue {
    /// Nothing, which is as good as no value.
    Null,
    /// True or false.
    Bool(bool),
    /// A number; one that is no whole number of 64 bits has no value here.
    Number(Option<u64>),
    /// Text.
    Text(String),
    /// A list.
    List,
    /// An object, with every key once.
    Object(BTreeMap<String, WireValue>),
    /// A Python object that JSON has no form for.
    Other,
}

impl WireValue {
    /// Parses JSON, in which a key may stand once in an object: of one that is given twice, two readers might take
    /// different values.
    ///
    /// # Errors
    /// [`ConnectionError::TooLarge`], and [`ConnectionError::Json`], which says where the text breaks off and quotes
    /// none of it.
    pub fn parse(json: &[u8]) -> Result<Self, ConnectionError> {
        if json.len() > MAX_CONNECTION_INFO_LEN {
            return Err(ConnectionError::TooLarge);
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// What it is, in words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "missing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List => "a list",
            Self::Object(_) => "an object",
            Self::Other => "of a type without a JSON form",
        }
    }
}

impl<'de> Deserialize<'de> for WireValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = WireValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<WireValue, E> {
        Ok(WireValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<WireValue, E> {
        Ok(WireValue::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<WireValue, E> {
        Ok(WireValue::Number(Some(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<WireValue, E> {
        Ok(WireValue::Number(value.try_into().ok()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<WireValue, E> {
        Ok(WireValue::Number(None))
    }

    fn visit_str<E>(self, value: &str) -> Result<WireValue, E> {
        Ok(WireValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<WireValue, A::Error> {
        while values.next_element::<WireValue>()?.is_some() {}
        Ok(WireValue::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<WireValue, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<String, WireValue>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is given twice"));
            }
        }
        Ok(WireValue::Object(object))
    }
}

//! `connection_info` as Nova has it: a dictionary, of which no more is read than a connection_info may hold.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use quobyte_volume::pure::connection::{
    ConnectionError, MAX_CONNECTION_INFO_DEPTH, MAX_CONNECTION_INFO_LEN, WireValue,
};

/// Reads a Python object. Whatever JSON has no form for is of no use to a field of ours, and so has no value.
pub(crate) fn to_wire_value(object: &Bound<'_, PyAny>) -> Result<WireValue, ConnectionError> {
    let mut reader = Reader { bytes_left: MAX_CONNECTION_INFO_LEN };
    reader.read(object, MAX_CONNECTION_INFO_DEPTH)
}

struct Reader {
    bytes_left: usize,
}

impl Reader {
    /// Reads an object in which others nest at most `levels` deep.
    fn read(&mut self, object: &Bound<'_, PyAny>, levels: usize) -> Result<WireValue, ConnectionError> {
        // What is counted is less than the object's JSON would be long.
        self.take(1)?;
        if object.is_none() {
            return Ok(WireValue::Null);
        }
        // Python's bool is an int.
        if let Ok(value) = object.cast::<PyBool>() {
            return Ok(WireValue::Bool(value.is_true()));
        }
        if object.is_instance_of::<PyInt>() {
            return Ok(WireValue::Number(object.extract().ok()));
        }
        if object.is_instance_of::<PyFloat>() {
            return Ok(WireValue::Number(None));
        }
        if let Ok(text) = object.cast::<PyString>() {
            return self.read_text(text);
        }
        if let Ok(list) = object.cast::<PyList>() {
            return self.read_all(list.iter(), levels);
        }
        if let Ok(tuple) = object.cast::<PyTuple>() {
            return self.read_all(tuple.iter(), levels);
        }
        match object.cast::<PyDict>() {
            Ok(dict) => self.read_dict(dict, levels),
            Err(_) => Ok(WireValue::Other),
        }
    }

    fn read_text(&mut self, text: &Bound<'_, PyString>) -> Result<WireValue, ConnectionError> {
        // Python's text may hold halves of characters, for which UTF-8 has no form.
        let Ok(text) = text.to_cow() else { return Ok(WireValue::Other) };
        self.take(text.len())?;
        Ok(WireValue::Text(text.into_owned()))
    }

    fn read_all<'py>(
        &mut self,
        mut objects: impl Iterator<Item = Bound<'py, PyAny>>,
        levels: usize,
    ) -> Result<WireValue, ConnectionError> {
        let below = levels.checked_sub(1).ok_or(ConnectionError::TooLarge)?;
        objects.try_for_each(|object| self.read(&object, below).map(drop))?;
        Ok(WireValue::List)
    }

    fn read_dict(&mut self, dict: &Bound<'_, PyDict>, levels: usize) -> Result<WireValue, ConnectionError> {
        let below = levels.checked_sub(1).ok_or(ConnectionError::TooLarge)?;
        let mut fields = BTreeMap::new();
        for (key, value) in dict {
            let value = self.read(&value, below)?;
            // A key that is no text is none of ours.
            if let Ok(key) = key.cast::<PyString>()
                && let WireValue::Text(key) = self.read_text(key)?
            {
                fields.insert(key, value);
            }
        }
        Ok(WireValue::Object(fields))
    }

    fn take(&mut self, bytes: usize) -> Result<(), ConnectionError> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(ConnectionError::TooLarge)?;
        Ok(())
    }
}

//! The library's errors as Python's: the one place where they are mapped.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use quobyte_volume::driver;
use quobyte_volume::error::{Code, one_line, with_causes};

create_exception!(nova_quobyte._native, QuobyteError, PyException);

/// An error for Python: its text names everything, for operators; its attributes are `code`, `kind` and `summary`, which
/// names nothing of the host and may be shown to a tenant.
pub(crate) fn to_py_err(py: Python<'_>, error: &driver::Error) -> PyErr {
    py_err_with_code(py, error.code(), with_causes(error))
}

/// The same for an error that this module finds itself.
pub(crate) fn py_err_with_code(py: Python<'_>, code: Code, text: String) -> PyErr {
    let py_err = QuobyteError::new_err(one_line(&text));
    let value = py_err.value(py);
    let attributes = [("code", code.as_str()), ("kind", code.class().as_str()), ("summary", code.summary())];
    match attributes.into_iter().try_for_each(|(name, text)| value.setattr(name, text)) {
        Ok(()) => py_err,
        Err(error) => error,
    }
}

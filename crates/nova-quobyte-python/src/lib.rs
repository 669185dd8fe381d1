//! The library as a Python module, `nova_quobyte._native`, for Nova's volume driver.
//!
//! Nothing is decided here: arguments become the library's types, results and errors Python's. Every call lets go of
//! the interpreter while it works, so that the rest of nova-compute goes on; what the library logs meanwhile is handed
//! to Python's logging once it is done.

mod connection_info;
mod error;
mod guests;
mod log;
mod native_driver;
mod options;
mod results;

use pyo3::prelude::*;

/// What `nova_quobyte` builds on; its contents are described in `_native.pyi`.
#[pymodule]
mod _native {
    use pyo3::exceptions::PyRuntimeError;
    use pyo3::prelude::*;
    use quobyte_volume::error::{self, Code};
    use quobyte_volume::host::set_up_library;

    #[pymodule_export]
    use crate::error::QuobyteError;
    #[pymodule_export]
    use crate::native_driver::NativeDriver;
    #[pymodule_export]
    use crate::results::{Connected, DisconnectOutcome, Disk, Finding};

    /// A message as it may be logged: on one line, control characters escaped, and not without end.
    #[pyfunction]
    fn one_line(message: &str) -> String {
        error::one_line(message)
    }

    /// Whether later calls are to report what is for debugging alone.
    #[pyfunction]
    fn log_debug_lines(wanted: bool) {
        crate::log::capture_debug_lines(wanted);
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("LIBVIRT_ERROR", Code::LibvirtError.as_str())?;
        module.add("HOST_EXHAUSTED", Code::HostExhausted.as_str())?;
        set_up_library();
        crate::log::install().map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }
}

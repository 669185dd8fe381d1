//! What the library says while it works, kept for Python's logging.
//!
//! A call may run in a thread that Python's logging must not be used from: under eventlet its locks belong to another.
//! So what is said is put into a list, and the caller logs it when the call has returned.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// One thing that was said: Python's number for its level, and the text.
pub(crate) type Said = (u8, String);

/// Does `work` and returns what it and this thread had to say meanwhile.
pub(crate) fn listen<T>(work: impl FnOnce() -> T) -> (T, Vec<Said>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = Registry::default().with(Listener(Arc::clone(&said)).with_filter(LevelFilter::DEBUG));
    let result = tracing::subscriber::with_default(listener, work);
    let said = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
    (result, said)
}

struct Listener(Arc<Mutex<Vec<Said>>>);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let said = (level(*event.metadata().level()), text.message + &text.fields);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(said);
    }
}

/// The numbers are those of Python's module logging.
fn level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG | Level::TRACE => 10,
    }
}

/// An event's message, and its fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

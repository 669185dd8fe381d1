//! What the library says while it works, kept for Python's logging.
//!
//! A call may run in a thread that Python's logging must not be used from: under eventlet its locks belong to another.
//! So what is said is put into a list, and the caller logs it when the call has returned.

use std::cell::RefCell;
use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// One thing that was said: Python's number for its level, and the text.
pub(crate) type Said = (u8, String);

thread_local! {
    static SAID: RefCell<Vec<Said>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is said from now on, for each thread. To be called once.
pub(crate) fn start() -> Result<(), SetGlobalDefaultError> {
    set_global_default(Registry::default().with(Listener.with_filter(LevelFilter::DEBUG)))
}

/// Does `work` and returns what it had to say in this thread. What was said before is dropped: it is about something else.
pub(crate) fn listen<T>(work: impl FnOnce() -> T) -> (T, Vec<Said>) {
    drop(SAID.take());
    let result = work();
    (result, SAID.take())
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let said = (level(*event.metadata().level()), text.message + &text.fields);
        SAID.with_borrow_mut(|all| all.push(said));
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

//! What the library says while it works, kept for Python's logging.
//!
//! A call may run in a thread that Python's logging must not be used from, since under eventlet its locks belong to
//! another, and may have further threads work for it. So each call is a span, what is said in it is put into a list, and
//! the caller logs it when the call has returned.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing::{Event, Level, Subscriber, info_span};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// One thing that was said: Python's number for its level, and the text.
pub(crate) type Said = (u8, String);

/// What was said in one call. An extension of the call's span.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Said>>>);

thread_local! {
    /// Of the span that this thread is about to make.
    static OF_NEXT_SPAN: RefCell<Option<Heard>> = const { RefCell::new(None) };
}

/// Keeps what is said in calls from now on. To be called once.
pub(crate) fn start() -> Result<(), SetGlobalDefaultError> {
    set_global_default(Registry::default().with(Listener.with_filter(LevelFilter::DEBUG)))
}

/// Does `work` and returns what it had to say, in this thread and in those that work in its span.
pub(crate) fn listen<T>(work: impl FnOnce() -> T) -> (T, Vec<Said>) {
    let heard = Heard::default();
    OF_NEXT_SPAN.set(Some(heard.clone()));
    let result = info_span!("call").in_scope(work);
    let said = take(&mut *heard.0.lock().unwrap_or_else(PoisonError::into_inner));
    (result, said)
}

struct Listener;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Listener {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let (Some(span), Some(heard)) = (context.span(id), OF_NEXT_SPAN.take()) {
            span.extensions_mut().insert(heard);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut scope = context.event_scope(event).into_iter().flatten();
        if let Some(heard) = scope.find_map(|span| span.extensions().get::<Heard>().cloned()) {
            let mut text = Text::default();
            event.record(&mut text);
            let said = (level(*event.metadata().level()), text.message + &text.fields);
            heard.0.lock().unwrap_or_else(PoisonError::into_inner).push(said);
        }
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

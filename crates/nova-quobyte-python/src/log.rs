//! Captures what the library logs, for Python's logging.
//!
//! A call may run in a thread that Python's logging must not be used from, since under eventlet its locks belong to
//! another, and may have further threads work for it. So each call is a span, what is logged in it is put into a list,
//! and the caller hands that to Python when the call has returned.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use quobyte_volume::error::one_line;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing::{Event, Level, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

/// What was logged once: Python's number for its level, and the text.
pub(crate) type LogRecord = (u8, String);

/// What was logged in one call. An extension of the call's span.
#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<Vec<LogRecord>>>);

thread_local! {
    /// The log of the span that this thread is about to make.
    static NEXT_SPAN_LOG: RefCell<Option<CapturedLog>> = const { RefCell::new(None) };
}

/// What is captured at all.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Installs the subscriber that captures what is logged in calls. To be called once.
pub(crate) fn install() -> Result<(), SetGlobalDefaultError> {
    let (level, handle) = reload::Layer::new(LevelFilter::INFO);
    let _ = LEVEL.set(handle);
    set_global_default(Registry::default().with(CaptureLayer.with_filter(level)))
}

/// Has lines for debugging captured from now on, or not: each takes as long as several system calls.
pub(crate) fn capture_debug_lines(wanted: bool) {
    let level = if wanted { LevelFilter::DEBUG } else { LevelFilter::INFO };
    // It fails only where the subscriber is gone, which lives as long as the process.
    let _ = LEVEL.get().map(|handle| handle.reload(level));
}

/// Does `work`, and returns with its result what was logged in this thread and in those that work in its span.
pub(crate) fn capture_logs<T>(work: impl FnOnce() -> T) -> (T, Vec<LogRecord>) {
    let log = CapturedLog::default();
    NEXT_SPAN_LOG.set(Some(log.clone()));
    let result = info_span!("call").in_scope(work);
    let records = take(&mut *log.0.lock().unwrap_or_else(PoisonError::into_inner));
    (result, records)
}

struct CaptureLayer;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for CaptureLayer {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let (Some(span), Some(log)) = (context.span(id), NEXT_SPAN_LOG.take()) {
            span.extensions_mut().insert(log);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut scope = context.event_scope(event).into_iter().flatten();
        if let Some(log) = scope.find_map(|span| span.extensions().get::<CapturedLog>().cloned()) {
            let mut text = EventText::default();
            event.record(&mut text);
            let record = (level(*event.metadata().level()), one_line(&(text.message + &text.fields)));
            log.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
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
struct EventText {
    message: String,
    fields: String,
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

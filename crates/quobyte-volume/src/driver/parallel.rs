//! Looking at many shares at once, so that those whose clients do not answer are waited for together.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` on every item, on at most `max` of them at a time, and returns what came of each, in order. All of it is
/// in the span that the caller is in. The caller's thread takes part, so that a host without threads left only takes
/// longer.
pub(super) fn map_parallel<T: Send, R: Send>(
    max: usize,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let workers = max.min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take = || std::iter::from_fn(next).map(|(place, item)| (place, work(item))).collect::<Vec<_>>();
    let span = tracing::Span::current();
    let mut done: Vec<_> = thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, || span.in_scope(take)).ok();
        let workers: Vec<_> = (1..workers).map_while(start).collect();
        let mut done = take();
        for worker in workers {
            done.extend(worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn work_runs_in_parallel_and_keeps_order() {
        // Nobody gets past it alone.
        let both = Barrier::new(2);
        let work = |number: u32| {
            both.wait();
            number * 10
        };
        assert_eq!(map_parallel(2, vec![1, 2, 3, 4], work), [10, 20, 30, 40]);
    }

    #[test]
    fn single_worker_runs_on_caller_thread() {
        let here = thread::current().id();
        assert!(
            map_parallel(1, vec![(); 3], |()| thread::current().id() == here).into_iter().all(|same| same)
        );
        assert!(map_parallel(8, Vec::<()>::new(), |()| ()).is_empty());
    }
}

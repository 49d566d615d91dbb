//! Forks of this process: how many there were, and none while threads start or end.
//!
//! glibc hands the stacks and thread-local blocks of ended threads to new ones without a lock that
//! a fork would wait for; a child forked in between may free such a block a second time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often this process came out of a fork, its parents' counted.
static FORKS: AtomicU64 = AtomicU64::new(0);
/// [`FREE`], [`THREADS`] while some start or end, else a number of the thread that forks.
static HOLDER: AtomicU64 = AtomicU64::new(FREE);
const FREE: u64 = 0;
const THREADS: u64 = 1;
/// A fork waits so long at most; where a C signal handler forks amid the start of a thread, that
/// start would never end.
const PATIENCE: Duration = Duration::from_secs(2);

/// A number that a forked child has another one of.
pub fn count() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Starts or ends threads while no fork is under way.
pub fn held_off<T>(work: impl FnOnce() -> T) -> T {
    struct Release;
    impl Drop for Release {
        fn drop(&mut self) {
            HOLDER.store(FREE, Ordering::Release);
        }
    }
    while !take(THREADS) {
        std::thread::yield_now();
    }
    let _release = Release;
    work()
}

fn take(holder: u64) -> bool {
    HOLDER.compare_exchange(FREE, holder, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

/// What a forked child does first; its caller's handler calls it.
pub fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    // Whoever held it is not here.
    HOLDER.store(FREE, Ordering::Release);
}

/// Has forks wait for [`held_off`], and forked children call `child`; once for one `watched`.
pub fn watch(watched: &AtomicBool, child: extern "C" fn()) -> Result<()> {
    if watched.load(Ordering::Acquire) {
        return Ok(());
    }
    // What rayon's queues share, behind a once-cell that only its threads would reach: made now,
    // so that no fork cuts it in the middle.
    crossbeam_epoch::default_collector();
    #[cfg(unix)]
    // SAFETY: the handlers touch atomics alone; a second registration by another thread that came
    // here at the same time does no harm: the second `before` finds its own thread the holder.
    if unsafe { libc::pthread_atfork(Some(before), Some(after), Some(child)) } != 0 {
        return Err(Error::Threads(1));
    }
    watched.store(true, Ordering::Release);
    Ok(())
}

#[cfg(unix)]
fn this_thread() -> u64 {
    // SAFETY: no preconditions. An address, hence neither `FREE` nor `THREADS`.
    unsafe { libc::pthread_self() as u64 }
}

#[cfg(unix)]
extern "C" fn before() {
    let (me, start) = (this_thread(), Instant::now());
    while HOLDER.load(Ordering::Relaxed) != me && !take(me) && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
}

#[cfg(unix)]
extern "C" fn after() {
    let _ = HOLDER.compare_exchange(this_thread(), FREE, Ordering::Release, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_waits_for_threads_that_start_and_they_for_it() {
        let working = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let starts = || {
                held_off(|| {
                    working.store(true, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(50));
                    working.store(false, Ordering::SeqCst);
                });
            };
            let other = scope.spawn(starts);
            while !working.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            before();
            assert!(!working.load(Ordering::SeqCst));
            before();
            let late = scope.spawn(starts);
            std::thread::sleep(Duration::from_millis(20));
            assert!(!working.load(Ordering::SeqCst));
            after();
            after();
            other.join().unwrap();
            late.join().unwrap();
        });
        assert_ne!(HOLDER.load(Ordering::SeqCst), this_thread());
    }
}

//! The only file that knows rayon's policy: how many threads, when they pay, how work stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use rayon::prelude::*;

use crate::error::{Error, Result};

/// State vectors of at least this many amplitudes are worth a team of threads.
pub const TEAM_AMPLITUDES: usize = 1 << 14;
/// Amplitudes (or weights, or bins) that one task of a team handles.
pub const TASK_AMPLITUDES: usize = 1 << 12;
/// Largest number of threads that can be asked for.
pub const MAX_THREADS: usize = 1024;

struct Pool {
    threads: usize,
    /// A forked child inherits the pool but none of its threads.
    process: u32,
    pool: Option<Arc<rayon::ThreadPool>>,
}

static POOL: RwLock<Pool> = RwLock::new(Pool { threads: 0, process: 0, pool: None });

/// Number of threads that parallel work uses.
pub fn num_threads() -> usize {
    let threads = POOL.read().unwrap_or_else(|poison| poison.into_inner()).threads;
    if threads > 0 { threads } else { default_threads() }
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Sets the number of threads for all later work.
pub fn set_num_threads(threads: usize) -> Result<()> {
    if !(1..=MAX_THREADS).contains(&threads) {
        return Err(Error::value(
            "num_threads",
            format!("is {threads}"),
            format!("it must be from 1 to {MAX_THREADS}"),
        ));
    }
    let mut state = POOL.write().unwrap_or_else(|poison| poison.into_inner());
    if state.threads != threads {
        state.threads = threads;
        state.pool = None;
    }
    Ok(())
}

fn pool() -> Arc<rayon::ThreadPool> {
    let process = std::process::id();
    {
        let state = POOL.read().unwrap_or_else(|poison| poison.into_inner());
        if let (Some(pool), true) = (&state.pool, state.process == process) {
            return Arc::clone(pool);
        }
    }
    let mut state = POOL.write().unwrap_or_else(|poison| poison.into_inner());
    if state.process != process {
        // Dropping a parent's pool would wait for threads that do not exist here.
        std::mem::forget(state.pool.take());
        state.process = process;
    }
    let threads = if state.threads > 0 { state.threads } else { default_threads() };
    let pool = state.pool.get_or_insert_with(|| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("qnnw-{index}"))
            .build()
            .expect("the system refused to start threads");
        Arc::new(pool)
    });
    Arc::clone(pool)
}

/// Whether a piece of work runs on one thread or on the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Team {
    /// The calling thread alone.
    Solo,
    /// The pool that this code already runs in.
    Pool,
}

impl Team {
    /// Runs `work` over the items, in any order, stopping early when one fails.
    pub fn for_each<T, I>(self, items: I, work: impl Fn(T) -> Result<()> + Sync) -> Result<()>
    where
        T: Send,
        I: IntoIterator<Item = T> + IntoParallelIterator<Item = T>,
    {
        match self {
            Self::Solo => items.into_iter().try_for_each(work),
            Self::Pool => items.into_par_iter().try_for_each(&work),
        }
    }
}

/// Runs `work` with a team where `amplitudes` is large enough to pay for one.
///
/// Nothing that runs here may depend on the number of threads: tasks are cut by size alone, and
/// nothing is summed across tasks in an order that could change.
pub fn with_team<T: Send>(amplitudes: usize, work: impl FnOnce(Team) -> T + Send) -> T {
    if amplitudes < TEAM_AMPLITUDES || num_threads() == 1 {
        work(Team::Solo)
    } else if rayon::current_thread_index().is_some() {
        work(Team::Pool)
    } else {
        pool().install(|| work(Team::Pool))
    }
}

/// A pointer that a team shares; whoever writes through it keeps to its own part.
#[derive(Debug)]
pub struct Pointer<T>(*mut T);

impl<T> Pointer<T> {
    /// Wraps a pointer.
    pub fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// The pointer.
    pub fn get(self) -> *mut T {
        self.0
    }
}

impl<T> Clone for Pointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pointer<T> {}

// SAFETY: a pointer does nothing by itself; uses are `unsafe` and keep to their own part.
unsafe impl<T: Send> Send for Pointer<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Pointer<T> {}

/// Asks running work to stop: set by one thread, read by the others between passes.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Asks for a stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// [`Error::Interrupted`] once a stop was asked for.
    #[inline]
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}

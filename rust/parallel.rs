//! The only file that knows rayon's policy: how many threads, when they pay, how work stops.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::forks;
use crate::memory;

/// State vectors of at least this many amplitudes are worth a team of threads.
pub const TEAM_AMPLITUDES: usize = 1 << 14;
/// Those of at least this many, but too small for a team, are worth a thread that follows another.
/// Of half as many they were at their best, and lost in the median where others had the second core.
const FOLLOWED_AMPLITUDES: usize = 1 << 13;
/// Amplitudes (or weights, or bins) that one task of a team handles.
pub const TASK_AMPLITUDES: usize = 1 << 12;
/// The environment variable that asks for a number of threads.
pub const VARIABLE: &str = "QNNW_NUM_THREADS";
/// Largest number of threads that can be asked for.
pub const MAX_THREADS: usize = 1024;

struct Pool {
    /// None once it is dropped.
    pool: Option<rayon::ThreadPool>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    fn new(threads: usize) -> Result<Self> {
        memory::require_threads(threads)?;
        let mut started = Vec::new();
        let start = |thread: rayon::ThreadBuilder| {
            let named = std::thread::Builder::new().name(format!("qnnw-{}", thread.index()));
            started.push(named.spawn(|| thread.run())?);
            Ok(())
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).spawn_handler(start);
        let built = forks::held_off(|| pool.build());
        // Where some were refused, those that started end, and are waited for as this is dropped.
        let mut made = Self { pool: None, threads: started };
        made.pool = Some(built.map_err(|_| Error::Threads(threads))?);
        Ok(made)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Its threads end; waiting for them keeps those of later pools from piling up on them.
        forks::held_off(|| {
            self.pool = None;
            for thread in self.threads.drain(..) {
                // A panic has reached whoever asked for the work.
                let _ = thread.join();
            }
        });
    }
}

/// Number of threads that was asked for; 0 where none was.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// The pool in use, as [`Arc::into_raw`] leaves it: null for none, [`BUSY`] while a thread looks at
/// it. A forked child inherits the pool but none of its threads, and perhaps a look that never ends:
/// it starts with null, whatever was there.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(null_mut());
const BUSY: *mut Pool = std::ptr::without_provenance_mut(1);

/// Has forked children start without a pool.
///
/// Called by whoever is about to make one; the binding calls it when it is loaded.
pub fn watch_forks() -> Result<()> {
    extern "C" fn child() {
        forks::in_child();
        // Left where it is: dropping it would wait for threads that do not exist here.
        POOL.store(null_mut(), Ordering::Release);
    }
    static WATCHED: AtomicBool = AtomicBool::new(false);
    forks::watch(&WATCHED, child)
}

/// Number of threads that parallel work uses.
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Sets the number of threads for all later work.
pub fn set_num_threads(threads: usize) -> Result<()> {
    ask("num_threads", Some(threads), &threads)
}

/// Takes the number of threads from [`VARIABLE`], if it is set; the binding does when it is loaded.
pub fn read_environment() -> Result<()> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => ask(VARIABLE, text.trim().parse().ok(), &text),
        _ => Ok(()),
    }
}

fn ask(name: &'static str, threads: Option<usize>, came: &impl std::fmt::Debug) -> Result<()> {
    let Some(threads) = threads.filter(|threads| (1..=MAX_THREADS).contains(threads)) else {
        let need = format!("it must be an integer from 1 to {MAX_THREADS}");
        return Err(Error::value(name, format!("is {came:?}"), need));
    };
    THREADS.store(threads, Ordering::Relaxed);
    Ok(())
}

/// Looks at the pool in use. Others spin meanwhile, so `look` moves pointers and nothing else.
fn with_pool<T>(look: impl FnOnce(&mut Option<Arc<Pool>>) -> T) -> T {
    let pointer = loop {
        let pointer = POOL.swap(BUSY, Ordering::Acquire);
        if pointer != BUSY {
            break pointer;
        }
        std::thread::yield_now();
    };
    // SAFETY: what is neither null nor `BUSY` was left by `into_raw` below, and taken out once.
    let mut pool = (!pointer.is_null()).then(|| unsafe { Arc::from_raw(pointer) });
    let found = look(&mut pool);
    let pointer = pool.map_or(null_mut(), |pool| Arc::into_raw(pool).cast_mut());
    POOL.store(pointer, Ordering::Release);
    found
}

/// The pool of as many threads as are asked for now.
fn pool() -> Result<Arc<Pool>> {
    let threads = num_threads();
    let fits = |pool: &Option<Arc<Pool>>| pool.clone().filter(|pool| pool.threads.len() == threads);
    if let Some(pool) = with_pool(|pool| fits(pool)) {
        return Ok(pool);
    }
    watch_forks()?;
    let pool = Arc::new(Pool::new(threads)?);
    // Another thread may have made one meanwhile; what nobody uses ends outside the look.
    let (pool, _unused) = with_pool(|slot| match fits(slot) {
        Some(theirs) => (theirs, Some(pool)),
        None => (Arc::clone(&pool), slot.replace(pool)),
    });
    Ok(pool)
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
    /// Its threads.
    pub fn size(self) -> usize {
        match self {
            Self::Solo => 1,
            Self::Pool => rayon::current_num_threads(),
        }
    }

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
pub fn with_team<T: Send>(
    amplitudes: usize,
    work: impl FnOnce(Team) -> Result<T> + Send,
) -> Result<T> {
    if amplitudes < TEAM_AMPLITUDES || num_threads() == 1 {
        work(Team::Solo)
    } else if rayon::current_thread_index().is_some() {
        work(Team::Pool)
    } else {
        let pool = pool()?;
        let team = pool.pool.as_ref().expect("a pool that is in use is whole");
        team.install(|| work(Team::Pool))
    }
}

/// Whether a second thread pays that follows the calling one over states of so many amplitudes.
pub fn is_followed(amplitudes: usize) -> bool {
    (FOLLOWED_AMPLITUDES..TEAM_AMPLITUDES).contains(&amplitudes)
        && num_threads() > 1
        && rayon::current_thread_index().is_none()
}

/// Runs `lead` on the calling thread, and `follow` on one of the pool. Waits for one to take it up,
/// be it to find nothing left to do.
pub fn with_follower<T>(
    follow: impl FnOnce() + Send,
    lead: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let pool = pool()?;
    let team = pool.pool.as_ref().expect("a pool that is in use is whole");
    team.in_place_scope(|scope| {
        scope.spawn(|_| follow());
        lead()
    })
}

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

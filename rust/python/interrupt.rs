//! Long work without the GIL, and Ctrl-C answered while it runs.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use pyo3::prelude::*;

use crate::error::Error;
use crate::parallel::Cancel;
use crate::{forks, memory};

/// Work of at least this many elementary steps (tens of milliseconds) listens for signals.
const LONG: u128 = 1 << 25;
const POLL: Duration = Duration::from_millis(50);

/// A thread that is waited for, whatever happens.
struct Worker<T>(Option<JoinHandle<T>>);

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            // How it ended matters to nobody any more.
            let _ = handle.join();
        }
    }
}

/// Runs `work` with the GIL released.
///
/// `steps` tells how long it will take, roughly in nanoseconds. Short work runs on this thread.
/// Long work runs on another, while this one looks for signals, which Python hands to nobody else.
/// Their handlers may call whatever they like: nothing is locked meanwhile.
pub fn run<T: Send>(
    py: Python<'_>,
    steps: u128,
    work: impl FnOnce(&Cancel) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let cancel = Cancel::default();
    if steps < LONG {
        return Ok(py.detach(|| work(&cancel))?);
    }
    py.detach(|| listen(&cancel, || work(&cancel)))
}

fn listen<T: Send>(cancel: &Cancel, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    memory::require_threads(1)?;
    let before = forks::count();
    let (done, wait) = channel();
    let work = move || {
        let result = work();
        // The receiver lives as long as this thread does.
        let _ = done.send(());
        result
    };
    // SAFETY: the thread is waited for before what it borrows ends; not in a forked child, where it
    // does not run.
    let spawn = || unsafe { std::thread::Builder::new().spawn_unchecked(work) };
    let thread = forks::held_off(spawn);
    let mut worker = Worker(Some(thread.map_err(|_| Error::Threads(1))?));
    let mut signal = None;
    while wait.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
        if signal.is_none()
            && let Err(error) = Python::attach(|py| py.check_signals())
        {
            cancel.cancel();
            signal = Some(error);
        }
        if forks::count() != before {
            // A handler forked, and its child came back: nobody here ends the work.
            std::mem::forget((worker, wait));
            return Err(signal.unwrap_or_else(|| Error::Forked.into()));
        }
    }
    // It has done its work and ends.
    let result = forks::held_off(|| worker.0.take().map(JoinHandle::join));
    match (signal, result) {
        (Some(error), _) => Err(error),
        (None, Some(Ok(result))) => Ok(result?),
        (None, Some(Err(panic))) => std::panic::resume_unwind(panic),
        (None, None) => unreachable!("a worker is joined once"),
    }
}

//! Long work without the GIL, and Ctrl-C answered while it runs.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::prelude::*;

use crate::error::Error;
use crate::parallel::Cancel;

/// Work of at least this many elementary steps (tens of milliseconds) listens for signals.
const LONG: u128 = 1 << 25;
const POLL: Duration = Duration::from_millis(50);

/// Runs `work` with the GIL released.
///
/// `steps` tells how long it will take, roughly in nanoseconds. Short work runs on this thread.
/// Long work runs on another, while this one looks for signals, which Python hands to nobody else.
pub fn run<T: Send>(
    py: Python<'_>,
    steps: u128,
    work: impl FnOnce(&Cancel) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let cancel = Cancel::default();
    if steps < LONG {
        return Ok(py.detach(|| work(&cancel))?);
    }
    let cancel = &cancel;
    py.detach(|| {
        std::thread::scope(|scope| {
            let (done, wait) = channel();
            let worker = scope.spawn(move || {
                let result = work(cancel);
                // The receiver lives as long as this scope.
                let _ = done.send(());
                result
            });
            let mut signal = None;
            while wait.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                if signal.is_none()
                    && let Err(error) = Python::attach(|py| py.check_signals())
                {
                    cancel.cancel();
                    signal = Some(error);
                }
            }
            let result = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match signal {
                Some(error) => Err(error),
                None => Ok(result?),
            }
        })
    })
}

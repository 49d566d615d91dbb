//! The crate's one error: which argument, what came, what is needed.

use thiserror::Error;

/// Everything that can go wrong behind the public functions.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// An argument has a value or a shape that cannot be used.
    #[error("`{argument}` {got}; {need}")]
    Value {
        /// The argument's name in the public signature.
        argument: &'static str,
        /// What came, as the rest of a sentence that starts with the argument's name.
        got: String,
        /// What is needed.
        need: String,
    },
    /// The work does not fit in the memory that this machine has free.
    #[error("{what} needs {need_gib:.2} GiB of memory; {free_gib:.2} GiB are free")]
    Memory {
        /// What was asked for.
        what: String,
        /// Memory that it would need, in GiB.
        need_gib: Gib,
        /// Memory that is free now, in GiB.
        free_gib: Gib,
    },
    /// Memory that the estimate let pass, and the system did not.
    #[error("the system refused {0:.2} GiB of memory")]
    Refused(Gib),
    /// Threads that the system did not start.
    #[error(
        "the system refused to start {0} more thread(s); ask for fewer with `qnnw.set_num_threads`, \
         or raise its limit on processes (`ulimit -u`)"
    )]
    Threads(usize),
    /// A signal handler forked while a call was under way, and the child came back into it.
    #[error("the call is under way in the process that forked; make it again in this one")]
    Forked,
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// A size in GiB that compares exactly: it is kept in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gib(pub u128);

impl std::fmt::Display for Gib {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = self.0 as f64 / (1u64 << 30) as f64;
        std::fmt::Display::fmt(&gib, formatter)
    }
}

impl Error {
    /// A [`Error::Value`] from its three parts.
    pub fn value(argument: &'static str, got: impl Into<String>, need: impl Into<String>) -> Self {
        Self::Value { argument, got: got.into(), need: need.into() }
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

//! A row of results from things that are made one after another: who makes them goes on, and
//! another thread may follow with the results.
//!
//! Nobody depends on the other's being there: who makes takes part in the results where it would
//! wait, and the follower waits for a maker that is at work. The results are the same whoever finds
//! them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::Result;
use crate::memory;

/// Rounds that a thread spins before it lets others have its core.
const SPINS: u32 = 1 << 7;

/// What is made, what somebody is at work on, and what was found.
#[derive(Debug)]
pub struct Relay<T> {
    made: AtomicUsize,
    taken: AtomicUsize,
    /// Nothing more will be made.
    ended: AtomicBool,
    /// Somebody panicked over a result, which will not come.
    broken: AtomicBool,
    results: Vec<OnceLock<Result<T>>>,
}

/// Sets a flag when it is dropped.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Waits a little, and longer where it has waited before.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    fn rest(&mut self) {
        self.0 += 1;
        if self.0 < SPINS {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

impl<T> Relay<T> {
    /// A row of so many.
    pub fn new(length: usize) -> Result<Self> {
        Ok(Self {
            made: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            results: memory::collected((0..length).map(|_| OnceLock::new()))?,
        })
    }

    /// Makes all of the row with `make`, which calls [`Relay::pass`] after each; whatever becomes of
    /// it, the follower learns that it has ended.
    pub fn lead<E>(&self, make: impl FnOnce() -> E) -> E {
        let _ended = Raise(&self.ended);
        make()
    }

    /// The next one is made.
    pub fn pass(&self) {
        self.made.fetch_add(1, Ordering::Release);
    }

    /// The follower's part: results of what is made, until nothing more is.
    pub fn follow(&self, work: &impl Fn(usize) -> Result<T>) {
        let mut pause = Pause::default();
        loop {
            // Asked first: what was made before the end is seen below.
            let ended = self.ended.load(Ordering::Acquire);
            if self.take_part(work) {
                pause = Pause::default();
            } else if ended {
                return;
            } else {
                pause.rest();
            }
        }
    }

    /// Waits for a result that was passed, finding others meanwhile.
    pub fn wait_for(&self, index: usize, work: &impl Fn(usize) -> Result<T>) {
        let mut pause = Pause::default();
        while self.results[index].get().is_none() {
            assert!(!self.broken.load(Ordering::Acquire), "the other thread panicked");
            if !self.take_part(work) {
                pause.rest();
            }
        }
    }

    /// All results, in order, or the first error; for who makes, when all are passed.
    pub fn results(&self, work: &impl Fn(usize) -> Result<T>) -> Result<Vec<T>>
    where
        T: Copy,
    {
        let mut found = Vec::new();
        memory::reserve(&mut found, self.results.len())?;
        for (index, result) in self.results.iter().enumerate() {
            self.wait_for(index, work);
            match result.get() {
                Some(Ok(value)) => found.push(*value),
                Some(Err(error)) => return Err(error.clone()),
                None => unreachable!("it was waited for"),
            }
        }
        Ok(found)
    }

    /// Finds the result of the next one that is made and nobody has taken, if there is one.
    fn take_part(&self, work: &impl Fn(usize) -> Result<T>) -> bool {
        let made = self.made.load(Ordering::Acquire);
        let next = |taken: usize| (taken < made).then_some(taken + 1);
        let Ok(index) = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) else {
            return false;
        };
        let broken = Raise(&self.broken);
        let result = work(index);
        std::mem::forget(broken);
        // Taken once, found once.
        let _ = self.results[index].set(result);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;

    use super::*;
    use crate::error::Error;

    /// Makes `length` numbers, at most `ahead` of the results, with so many followers.
    fn squares(length: usize, ahead: usize, followers: usize) -> Result<Vec<usize>> {
        let relay = Relay::new(length).unwrap();
        let numbers = Mutex::new(Vec::<usize>::new());
        let work = |index: usize| Ok(numbers.lock().unwrap()[index]);
        std::thread::scope(|scope| {
            for _ in 0..followers {
                scope.spawn(|| relay.follow(&work));
            }
            relay.lead(|| {
                for index in 0..length {
                    if index >= ahead {
                        relay.wait_for(index - ahead, &work);
                    }
                    numbers.lock().unwrap().push(index * index);
                    relay.pass();
                }
                relay.results(&work)
            })
        })
    }

    #[test]
    fn results_are_in_order_whoever_finds_them() {
        for (length, ahead, followers) in
            [(0, 1, 0), (1, 1, 1), (40, 1, 0), (40, 1, 1), (40, 8, 1), (40, 40, 0), (40, 3, 3)]
        {
            let expected: Vec<_> = (0..length).map(|index| index * index).collect();
            assert_eq!(squares(length, ahead, followers).unwrap(), expected);
        }
    }

    #[test]
    fn an_error_is_the_makers() {
        let relay = Relay::<usize>::new(3).unwrap();
        let work = |index: usize| if index == 1 { Err(Error::Interrupted) } else { Ok(index) };
        std::thread::scope(|scope| {
            scope.spawn(|| relay.follow(&work));
            let found = relay.lead(|| {
                (0..3).for_each(|_| relay.pass());
                relay.results(&work)
            });
            assert!(matches!(found, Err(Error::Interrupted)));
        });
    }

    #[test]
    fn nobody_waits_for_who_has_panicked() {
        let (relay, made) = (Relay::<usize>::new(2).unwrap(), AtomicBool::new(false));
        let work = |_| panic!("no result");
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| {
                let found = catch_unwind(AssertUnwindSafe(|| relay.follow(&work)));
                made.store(true, Ordering::Release);
                found.is_err()
            });
            relay.pass();
            while !made.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            let waiting = catch_unwind(AssertUnwindSafe(|| relay.wait_for(0, &work)));
            assert!(waiting.is_err());
            assert!(follower.join().unwrap());
        });
        // A maker that panics lets its follower go.
        let relay = Relay::<usize>::new(2).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| relay.follow(&|index| Ok(index)));
            let made = catch_unwind(AssertUnwindSafe(|| relay.lead(|| panic!("nothing is made"))));
            assert!(made.is_err());
        });
    }
}

//! Aligned storage that starts out unwritten.
//!
//! Memory comes back to a small cache when a buffer is dropped: the next call of the same size finds
//! its pages mapped, which would cost more than the work on a small state.

use std::alloc::{Layout, alloc, dealloc};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Mutex;

use crate::error::{Error, Gib, Result};
use crate::view::View;

/// Alignment of small buffers: a page, so that a line never crosses one.
const PAGE: usize = 4 << 10;
/// Alignment of large buffers: a huge page, so that few address translations cover them.
const HUGE_PAGE: usize = 2 << 20;

/// Numbers in aligned memory, reached through views alone: nothing says which are written.
#[derive(Debug)]
pub struct Buffer<R> {
    pointer: NonNull<R>,
    length: usize,
    numbers: PhantomData<R>,
}

// SAFETY: a buffer owns its memory, and its methods need `&mut` where they hand out the right to
// write.
unsafe impl<R: Send> Send for Buffer<R> {}
// SAFETY: as above.
unsafe impl<R: Sync> Sync for Buffer<R> {}

impl<R: Copy> Buffer<R> {
    /// A buffer of no numbers.
    pub fn empty() -> Self {
        Self { pointer: NonNull::dangling(), length: 0, numbers: PhantomData }
    }

    /// A buffer of `length` numbers that nobody has written yet.
    pub fn new(length: usize) -> Result<Self> {
        if length == 0 {
            return Ok(Self::empty());
        }
        let refused = || Error::Refused(Gib(length as u128 * size_of::<R>() as u128));
        let layout = Self::layout(length).ok_or_else(refused)?;
        if let Some(pointer) = cached(layout.size()) {
            return Ok(Self { pointer: pointer.cast(), length, numbers: PhantomData });
        }
        // SAFETY: the layout has a size above 0.
        let pointer = NonNull::new(unsafe { alloc(layout) }.cast::<R>()).ok_or_else(refused)?;
        advise_huge_pages(pointer.as_ptr().cast(), layout.size());
        Ok(Self { pointer, length, numbers: PhantomData })
    }

    fn layout(length: usize) -> Option<Layout> {
        let bytes = length.checked_mul(size_of::<R>())?;
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { PAGE };
        Layout::from_size_align(bytes, align).ok()
    }

    /// Makes room for at least `length` numbers; what was written is lost where it grows.
    pub fn reserve(&mut self, length: usize) -> Result<()> {
        if self.length < length {
            *self = Self::new(length)?;
        }
        Ok(())
    }

    /// Number of numbers.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The numbers; whoever writes does so while nobody else reads.
    pub fn view(&self) -> View<'_, R> {
        // SAFETY: the memory is the buffer's, which hands out views alone.
        unsafe { View::new(self.pointer, self.length) }
    }

    /// The first numbers, as a slice.
    ///
    /// # Safety
    /// So many were written.
    pub unsafe fn written(&mut self, length: usize) -> &mut [R] {
        assert!(length <= self.length);
        // SAFETY: the memory is the buffer's, and written as far, says the caller.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), length) }
    }
}

impl<R> Drop for Buffer<R> {
    fn drop(&mut self) {
        if self.length == 0 {
            return;
        }
        let bytes = self.length * size_of::<R>();
        if !keep(bytes, self.pointer.cast()) {
            let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { PAGE };
            // SAFETY: this is the layout of the allocation, checked when it was made.
            unsafe {
                let layout = Layout::from_size_align_unchecked(bytes, align);
                dealloc(self.pointer.as_ptr().cast(), layout);
            }
        }
    }
}

/// Most memory that waits for the next call, in bytes.
const CACHE_BYTES: usize = 64 << 20;
/// Most buffers that do.
const CACHE_BUFFERS: usize = 64;

/// Memory of dropped buffers, with its size.
struct Cache(Vec<(usize, NonNull<u8>)>);

// SAFETY: the cache owns its memory.
unsafe impl Send for Cache {}

static CACHE: Mutex<Cache> = Mutex::new(Cache(Vec::new()));

/// Memory of this size out of the cache. Sizes fix alignments.
fn cached(bytes: usize) -> Option<NonNull<u8>> {
    // A process that was forked while another thread held the lock goes without.
    let mut cache = CACHE.try_lock().ok()?;
    let place = cache.0.iter().position(|&(size, _)| size == bytes)?;
    Some(cache.0.swap_remove(place).1)
}

/// Puts memory into the cache, if there is room.
fn keep(bytes: usize, pointer: NonNull<u8>) -> bool {
    let Ok(mut cache) = CACHE.try_lock() else { return false };
    let total: usize = cache.0.iter().map(|&(size, _)| size).sum();
    let full = cache.0.len() >= CACHE_BUFFERS || total + bytes > CACHE_BYTES;
    if full || cache.0.try_reserve(1).is_err() {
        return false;
    }
    cache.0.push((bytes, pointer));
    true
}

/// Asks the system for huge pages; it may say no.
fn advise_huge_pages(pointer: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    if bytes >= HUGE_PAGE {
        // SAFETY: the range was just allocated and starts on a page; the call reads nothing.
        unsafe { libc::madvise(pointer.cast(), bytes, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (pointer, bytes);
}

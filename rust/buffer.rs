//! Aligned storage that starts out unwritten.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Alignment of small buffers: a page, so that a line never crosses one.
const PAGE: usize = 4 << 10;
/// Alignment of large buffers: a huge page, so that few address translations cover them.
const HUGE_PAGE: usize = 2 << 20;

/// Numbers in aligned memory, reached through pointers alone: nothing says which are written.
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
    pub fn new(length: usize) -> Self {
        if length == 0 {
            return Self::empty();
        }
        let layout = Self::layout(length);
        // SAFETY: the layout has a size above 0.
        let pointer = unsafe { alloc(layout) }.cast::<R>();
        let Some(pointer) = NonNull::new(pointer) else { handle_alloc_error(layout) };
        advise_huge_pages(pointer.as_ptr().cast(), layout.size());
        Self { pointer, length, numbers: PhantomData }
    }

    fn layout(length: usize) -> Layout {
        let bytes = length * size_of::<R>();
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { PAGE };
        Layout::from_size_align(bytes, align).expect("a state vector within the address space")
    }

    /// Makes room for at least `length` numbers; what was written is lost where it grows.
    pub fn reserve(&mut self, length: usize) {
        if self.length < length {
            *self = Self::new(length);
        }
    }

    /// Number of numbers.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The first number, to read.
    pub fn as_ptr(&self) -> *const R {
        self.pointer.as_ptr()
    }

    /// The first number, to read and write.
    pub fn as_mut_ptr(&mut self) -> *mut R {
        self.pointer.as_ptr()
    }
}

impl<R> Drop for Buffer<R> {
    fn drop(&mut self) {
        if self.length > 0 {
            let bytes = self.length * size_of::<R>();
            let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { PAGE };
            // SAFETY: this is the layout of the allocation, checked when it was made.
            unsafe {
                let layout = Layout::from_size_align_unchecked(bytes, align);
                dealloc(self.pointer.as_ptr().cast(), layout);
            }
        }
    }
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

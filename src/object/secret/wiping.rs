//! Wipes what a thread frees.
//!
//! [`Plaintext`](super::Plaintext) wipes itself. The buffers that a value passes through on its way there are not ours: those
//! of TLS, of HTTP, of the reader of JSON. Where all of that happens on a thread of its own, the allocator can wipe whatever
//! that thread frees, and need not know what it was.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    // No lazy start and nothing to drop: the allocator may read it at any time.
    static WIPES: Cell<bool> = const { Cell::new(false) };
}

/// Has this thread's memory wiped when it is freed, from now on, where [`WipingAllocator`] is the allocator.
pub fn wipe_what_this_thread_frees() {
    WIPES.set(true);
}

/// An allocator that wipes what certain threads free, and is another one in all else.
pub struct WipingAllocator<A>(pub A);

impl<A> WipingAllocator<A> {
    fn wipes() -> bool {
        WIPES.try_with(Cell::get).unwrap_or(false)
    }
}

/// Overwrites memory in a way that is not optimised away because it is freed next.
///
/// # Safety
/// `len` bytes at `at` may be written.
#[allow(unsafe_code, reason = "an allocator is given raw memory")]
unsafe fn wipe(at: *mut u8, len: usize) {
    // SAFETY: the caller says so.
    let bytes = unsafe { std::slice::from_raw_parts_mut(at.cast::<std::mem::MaybeUninit<u8>>(), len) };
    bytes.fill(std::mem::MaybeUninit::new(0));
    std::hint::black_box(bytes.as_mut_ptr());
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

// SAFETY: all memory comes from the inner allocator and goes back to it with the layout that it had.
#[allow(unsafe_code, reason = "an allocator is given raw memory")]
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as our caller promises.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as our caller promises.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if Self::wipes() {
            // SAFETY: it has this size, and is given up by this call.
            unsafe { wipe(at, layout.size()) };
        }
        // SAFETY: as our caller promises.
        unsafe { self.0.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !Self::wipes() {
            // SAFETY: as our caller promises.
            return unsafe { self.0.realloc(at, layout, new_size) };
        }
        // The inner allocator might move it and leave the old bytes behind.
        // SAFETY: our caller promises that the size is legal for this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the size is not zero, as our caller promises.
        let new = unsafe { self.0.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: both are at least so long, and do not overlap; the old one is given up.
            unsafe {
                std::ptr::copy_nonoverlapping(at, new, layout.size().min(new_size));
                self.dealloc(at, layout);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::cell::RefCell;

    use super::*;

    /// Keeps what it is given back, so that it can be looked at.
    #[derive(Default)]
    struct Keeping(RefCell<Vec<(*mut u8, Layout)>>);

    // SAFETY: memory comes from the system, and is given back when the test ends.
    #[allow(unsafe_code, reason = "an allocator for this test")]
    unsafe impl GlobalAlloc for Keeping {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as our caller promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            self.0.borrow_mut().push((at, layout));
        }
    }

    #[allow(unsafe_code, reason = "this test speaks to an allocator")]
    fn freed() -> Vec<Vec<u8>> {
        let allocator = WipingAllocator(Keeping::default());
        let layout = Layout::array::<u8>(8).unwrap();
        // SAFETY: each piece is used within its size, and freed once.
        unsafe {
            let at = allocator.alloc(layout);
            at.copy_from(b"hidden!!".as_ptr(), 8);
            let grown = allocator.realloc(at, layout, 16);
            assert_eq!(std::slice::from_raw_parts(grown, 8), b"hidden!!");
            std::ptr::write_bytes(grown.add(8), b'x', 8);
            allocator.dealloc(grown, Layout::array::<u8>(16).unwrap());
            let kept = allocator.0.0.take();
            let bytes =
                |(at, layout): &(*mut u8, Layout)| std::slice::from_raw_parts(*at, layout.size()).to_vec();
            let seen = kept.iter().map(bytes).collect();
            kept.iter().for_each(|(at, layout)| System.dealloc(*at, *layout));
            seen
        }
    }

    #[test]
    fn what_such_a_thread_frees_is_zero() {
        let here = freed();
        assert!(here.iter().any(|bytes| bytes.contains(&b'h')), "elsewhere it is as it was");
        let there = std::thread::spawn(|| {
            wipe_what_this_thread_frees();
            freed()
        });
        let there = there.join().unwrap();
        assert_eq!(there.len(), 2, "it was moved once and freed once");
        assert!(there.iter().flatten().all(|byte| *byte == 0), "{there:?}");
    }
}

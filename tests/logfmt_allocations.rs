//! Neither reading logfmt nor asking a filter allocates: counted by the allocator.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use logboom::filter::Filter;
use logboom::logfmt::parse::pairs;
use logboom::syslog::parse::parse_rfc5424;

/// The system's allocator, which counts what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: everything is the system allocator's; counting changes nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` is from `alloc` above, and so the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const FRAME: &[u8] = b"<158>1 2012-11-16T22:40:48Z host heroku router - - at=error code=H12 \
    desc=\"Request \\\"timeout\\\"\" path=\"/api/1\" dyno= service=30000ms status=503 secure \"said a=b\" =c";

#[test]
fn reading_does_not_allocate() {
    let message = parse_rfc5424(FRAME).unwrap();
    let count = allocations(|| {
        let (mut byte_count, mut number_count) = (0, 0);
        for pair in pairs(message.text) {
            byte_count += pair.value.bytes().count();
            number_count += usize::from(pair.value.quantity().is_ok());
        }
        assert_eq!((byte_count, number_count), (41, 2));
    });
    assert_eq!(count, 0);
    assert_ne!(
        allocations(|| drop(pairs(message.text).collect::<Vec<_>>())),
        0
    );
}

#[test]
fn asking_does_not_allocate() {
    let message = parse_rfc5424(FRAME).unwrap();
    let filter = Filter::parse(
        "source:heroku ps:router status>=500 service>1s path:/api/* -level:debug desc:R*t* \
         (code=H13 OR code=H12) timeout \"PATH\" /service=\\d+ms/ severity>=info",
    )
    .unwrap();
    // A regular expression learns from the first messages.
    assert!(filter.matches(&message));
    let count = allocations(|| {
        for _ in 0..100 {
            assert!(filter.matches(&message));
        }
    });
    assert_eq!(count, 0);
}

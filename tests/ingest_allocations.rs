//! On the way from the socket into the segment no message allocates, nor on the way into a batch:
//! counted by the allocator.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod ingest_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ingest_support::{DEADLINE, Inputs, TOKEN_A, TOKEN_B, counted};
use logboom::channel::Channel;
use logboom::clock::UnixMicros;
use logboom::ingest::tcp::{SyslogSettings, serve_syslog};
use logboom::syslog::encode::rfc5424;
use logboom::syslog::parse::parse_rfc5424;
use logboom::telemetry::Input;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The system's allocator, which counts what it is asked for.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: everything is the system allocator's; counting changes nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
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

async fn wait_for_end(channel: &Channel, seq: u64) {
    while channel.end_seq().value() < seq {
        let cursor = channel.cursor_at_end();
        if channel.end_seq().value() < seq {
            let readable = tokio::time::timeout(DEADLINE, channel.readable(&cursor));
            readable.await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_message_allocates() {
    let inputs = Inputs::new();
    let a = inputs.channel("a", TOKEN_A, "app");
    let b = inputs.channel("b", TOKEN_B, "router");
    let listener = inputs.listener(Input::Tcp);
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    inputs.shutdown.spawn(serve_syslog(
        listener,
        None,
        Arc::clone(&inputs.table),
        SyslogSettings::default(),
        inputs.shutdown.clone(),
        inputs.telemetry.clone(),
    ));
    let pair = counted(TOKEN_A, "to the one") + &counted(TOKEN_B, "to the other");
    let round = 20_000;
    let bytes = pair.repeat(round);
    let mut used = 0;
    // The first round makes the buffers.
    for rounds in 1..=2 {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let end = u64::try_from(rounds * round).unwrap();
        wait_for_end(&a.channel, end).await;
        wait_for_end(&b.channel, end).await;
        used = ALLOCATIONS.load(Ordering::Relaxed) - before;
    }
    // 40,000 messages: what is left are segments, and wake-ups of this test.
    assert!(used < 1_000, "{used} allocations");
}

#[test]
fn no_strict_frame_allocates() {
    for sd in ["[a@1 x=\"1\"][b@1][c@1]", "[a@1 x=\"1\"][b@1][a@1]"] {
        let frame = format!("<134>1 2012-12-10T03:00:48Z h app web.1 - {sd} text");
        let message = parse_rfc5424(frame.as_bytes()).unwrap();
        let mut out = Vec::with_capacity(1_024);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let count = 50_000;
        for _ in 0..count {
            out.clear();
            rfc5424(&message, UnixMicros::new(0), &mut out);
        }
        let used = ALLOCATIONS.load(Ordering::Relaxed) - before;
        // The test beside it is counted as well.
        assert!(used < count / 2, "{used} allocations");
    }
}

//! What an HTTP destination gets.

use std::collections::BTreeMap;
use std::io::Read as _;

use logboom::limits::FILTERED_RUN_MAX;
use logboom::registry::{Compression, DrainOptions, Format};

use crate::support::{Recorder, Router, settings};

#[tokio::test]
async fn the_request_is_logplex_s_byte_for_byte() {
    let mut recorder = Recorder::start([]).await;
    let router = Router::new(settings());
    let address = recorder.address;
    let url = format!("http://user:p%40ss@{address}/path?x=1&y=2");
    let entry = router.drain(1, &url, DrainOptions::default());
    router.say("m1");
    let request = recorder.next().await;
    let body = "55 <134>1 2012-12-10T03:00:48.123456Z host app web.1 - m1\n";
    assert_eq!(request.text(), body);
    let expected = format!(
        "POST /path?x=1&y=2 HTTP/1.1\r\n\
         Host: {address}\r\n\
         Authorization: Basic dXNlcjpwQHNz\r\n\
         Content-Type: application/logplex-1\r\n\
         Logplex-Msg-Count: 1\r\n\
         Logplex-Frame-Id: {}\r\n\
         Logplex-Drain-Token: {}\r\n\
         User-Agent: Logboom/{}\r\n\
         Content-Length: {}",
        request.frame_id(),
        entry.token,
        env!("CARGO_PKG_VERSION"),
        body.len()
    );
    assert_eq!(request.head, expected);
    assert_eq!(request.frame_id().len(), 32);
}

#[tokio::test]
async fn own_headers_compression_and_format_are_as_asked() {
    let mut recorder = Recorder::start([]).await;
    let router = Router::new(settings());
    let options = |compression| DrainOptions {
        compression,
        format: Format::Rfc5424,
        headers: BTreeMap::from([
            ("x-api-key".to_owned(), "k".to_owned()),
            ("content-length".to_owned(), "1".to_owned()),
        ]),
        ..DrainOptions::default()
    };
    let plain = "57 <134>1 2012-12-10T03:00:48.123456Z host app web.1 - - m1\n";

    router.drain(1, &recorder.url(), options(Compression::Gzip));
    router.say("m1");
    let request = recorder.next().await;
    assert_eq!(request.header("Content-Encoding"), Some("gzip"));
    assert_eq!(request.header("X-Api-Key"), Some("k"));
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&request.body[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain);

    router.status_when(|status| status.delivered == 1).await;
    router.drain(1, &recorder.url(), options(Compression::Zstd));
    router.say("m1");
    let request = recorder.next().await;
    assert_eq!(request.header("Content-Encoding"), Some("zstd"));
    let unpacked = zstd::bulk::decompress(&request.body, 1_000).unwrap();
    assert_eq!(unpacked, plain.as_bytes());
}

#[tokio::test]
async fn a_filter_passes_over_what_it_does_not_want() {
    let mut recorder = Recorder::start([]).await;
    let router = Router::new(settings());
    let options = DrainOptions {
        source: Some("app".to_owned()),
        ps: Some("web".to_owned()),
        ..DrainOptions::default()
    };
    router.drain(1, &recorder.url(), options);
    router.say_as("heroku", "router", "no");
    router.say_as("app", "worker.1", "no");
    router.say_as("app", "web.1", "yes");
    router.say_as("app", "worker.1", "no");
    let request = recorder.next().await;
    assert!(request.text().ends_with(" - yes\n"), "{}", request.text());
    assert_eq!(request.count(), 1);
    let status = router.status_when(|status| status.lag_messages == 0).await;
    assert_eq!((status.delivered, status.filtered), (1, 3));
    router.check_book(&status);
    recorder.check_no_more();
}

/// A filter may be slow, so what was found goes out before the whole channel was looked through.
#[tokio::test]
async fn a_long_run_of_what_a_filter_does_not_want_ends_a_batch() {
    let mut recorder = Recorder::start([]).await;
    let router = Router::new(settings());
    let options = DrainOptions {
        filter: Some("want".to_owned()),
        source: Some("app".to_owned()),
        ..DrainOptions::default()
    };
    router.drain(1, &recorder.url(), options);
    // One task on a single-threaded runtime: the drain sees nothing before all is there.
    for _ in 0..2 {
        router.say_as("app", "web.1", "wanted");
        for _ in 0..=FILTERED_RUN_MAX {
            router.say_as("heroku", "router", "no");
        }
    }
    for _ in 0..2 {
        let request = recorder.next().await;
        assert_eq!(request.count(), 1);
    }
    let status = router.status_when(|status| status.lag_messages == 0).await;
    let filtered = 2 * (FILTERED_RUN_MAX + 1);
    assert_eq!((status.delivered, status.filtered), (2, filtered));
    router.check_book(&status);
    recorder.check_no_more();
}

#[tokio::test]
async fn what_waits_goes_in_batches_up_to_their_size() {
    let mut recorder = Recorder::start([]).await;
    let router = Router::new(settings());
    router.drain(1, &recorder.url(), DrainOptions::default());
    // One task on a single-threaded runtime: the drain sees nothing before all is there.
    let text = "x".repeat(900);
    for _ in 0..999 {
        router.say(&text);
    }
    router.say(&"y".repeat(120_000));
    router.say("last");
    let mut count = 0;
    while count < 1_001 {
        let request = recorder.next().await;
        let frames = request.count();
        count += frames;
        let is_within = request.body.len() <= 100 * 1024;
        assert!(is_within || frames == 1, "{frames} {}", request.body.len());
        assert!(frames == 1 || 30 < frames, "{frames}");
    }
    let status = router.status_when(|status| status.lag_messages == 0).await;
    assert_eq!(status.delivered, 1_001);
    recorder.check_no_more();
}

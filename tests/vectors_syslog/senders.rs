//! Bodies as log-shuttle sends them, and what heroku/x and Alloy read out of bodies.

use logboom::limits::FRAME_BYTES_DEFAULT;
use logboom::syslog::frame::BodyError;
use logboom::syslog::frame::BodyFrames;

use crate::bytes_of;
use crate::cases;
use crate::parsed;
use crate::shown;

#[test]
fn log_shuttle_s_bodies_are_its_lines() {
    for case in cases("log_shuttle_frames.json") {
        let name = case["name"].as_str().unwrap();
        let body = bytes_of(&case, "body");
        let frames: Vec<&[u8]> = BodyFrames::new(&body, FRAME_BYTES_DEFAULT)
            .map(|frame| frame.unwrap().frame)
            .collect();
        let count = case["headers"]["Logplex-Msg-Count"].as_str().unwrap();
        assert_eq!(frames.len().to_string(), count, "{name}");
        let mut lines = Vec::new();
        for frame in &frames {
            let message = parsed(frame);
            assert_eq!(message.app_name, b"token", "{name}");
            if message.procid == b"log-shuttle" {
                continue; // its own L12 and L13
            }
            match case["input_format"].as_str().unwrap() {
                "raw" => lines.extend_from_slice(message.text),
                "rfc5424" => lines.extend_from_slice(frame),
                _ => {
                    lines.extend_from_slice(format!("{} ", frame.len()).as_bytes());
                    lines.extend_from_slice(frame);
                }
            }
        }
        let expected: Vec<u8> = case["lines"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|line| bytes_of(line, "line"))
            .collect();
        assert_eq!(shown(&lines), shown(&expected), "{name}");
    }
}

/// Our drains' bodies are read by receivers with heroku/x's scanner: what it reads, we read.
#[test]
fn bodies_are_read_as_heroku_x_reads_them() {
    for case in cases("heroku_x_logplex_scanner.json") {
        let name = case["name"].as_str().unwrap();
        let body = bytes_of(&case, "input");
        let mut frames = BodyFrames::new(&body, 10_240);
        let read: Vec<_> = frames.by_ref().map_while(Result::ok).collect();
        let error = BodyFrames::new(&body, 10_240).find_map(Result::err);
        match case["error"].as_str() {
            None => {
                assert_eq!(
                    read.len().to_string(),
                    case["messages"].to_string(),
                    "{name}"
                );
                let pri = case["priority"].as_u64().unwrap_or(190);
                assert!(
                    read.iter()
                        .all(|frame| u64::from(parsed(frame.frame).pri.value()) == pri)
                );
                assert_eq!(error, None, "{name}");
            }
            Some("ErrBadFrame") => {
                assert_eq!(
                    read.len().to_string(),
                    case["messages"].to_string(),
                    "{name}"
                );
                assert!(error.is_some(), "{name}");
            }
            // What is no structured data is text.
            Some("ErrInvalidStructuredData") => {
                let message = parsed(read[0].frame);
                assert!(message.sd == b"-" && message.text.ends_with(b"this is the message"));
            }
            // A VERSION may be missing, and an empty field is nil; then a byte between frames.
            Some("ErrInvalidPriVal") => {
                assert_eq!(parsed(read[0].frame).pri.value(), 190);
                assert_eq!(error, Some(BodyError::Malformed { offset: 67 }));
            }
            // A frame too long is kept up to the limit, which is ours and not the scanner's.
            Some("bufio.ErrTooLong") => {
                assert_eq!(error, None);
                assert_eq!(read[0].is_truncated, 10_240 < body.len());
            }
            Some(other) => panic!("{name}: {other}"),
        }
    }
}

//! Every fixed bound of the program, with its unit and its reason. Bounds that an operator may
//! move are keys of the configuration; their outer limits stand here too.

use std::time::Duration;

/// Longest channel id. RFC 5424 names no channel; this leaves room for any app name or UUID.
pub const CHANNEL_ID_BYTES_MAX: usize = 128;

/// Longest token, `t.` included: 38 bytes for a UUID, some room for tokens moved from elsewhere.
pub const TOKEN_BYTES_MAX: usize = 64;

/// Longest token name: it becomes the APP-NAME of messages (RFC 5424, 6.2.5).
pub const SOURCE_BYTES_MAX: usize = 48;

/// Longest TIMESTAMP, HOSTNAME, APP-NAME, PROCID or MSGID that is taken for one: its length is
/// stored in one byte. RFC 5424 allows at most 255 (HOSTNAME).
pub const FIELD_BYTES_MAX: usize = 255;

/// Longest structured data that is taken for it: its length is stored in two bytes.
pub const SD_BYTES_MAX: usize = 65_535;

/// Elements of structured data in a strict frame: each one's name is compared with all others'.
/// Senders write a handful; more stand in the text.
pub const SD_STRICT_ELEMENTS_MAX: usize = 64;

/// Greatest PRI (RFC 5424, 6.2.1).
pub const PRI_MAX: u8 = 191;

/// PRI of a message whose own is missing or out of range: user.notice (RFC 3164, 4.3.3).
pub const PRI_DEFAULT: u8 = 13;

/// Smallest segment: what a channel with a few messages costs.
pub const SEGMENT_BYTES_MIN: usize = 4 * 1024;

/// Greatest segment: a busy channel turns one over every few hundred messages.
pub const SEGMENT_BYTES_MAX: usize = 256 * 1024;

/// Greatest `frame_bytes_max`: a record of it, header included, must fit one segment.
pub const FRAME_BYTES_LIMIT: usize = 128 * 1024;

/// Default of `frame_bytes_max`.
pub const FRAME_BYTES_DEFAULT: usize = 64 * 1024;

/// One read of a connection: many messages per system call (see benches/RESULTS.md).
pub const READ_BYTES_MAX: usize = 256 * 1024;

/// Smallest `channel_bytes_max`: two segments of the greatest size, so that one can be read while
/// the other is written.
pub const CHANNEL_BYTES_LIMIT_MIN: usize = 2 * SEGMENT_BYTES_MAX;

/// What a record takes beyond its frame at most: its header (24), what is written where the frame
/// has none of it (arrival as TIMESTAMP 32, four fields that are nil, source as APP-NAME 48),
/// padding (7).
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 24 + 32 + 4 + SOURCE_BYTES_MAX + 7;

/// Default of `channel_bytes_max`.
pub const CHANNEL_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// Drains of one channel; Logplex allowed 5 or 6.
pub const DRAINS_PER_CHANNEL_MAX: usize = 100;

/// Tokens of one channel.
pub const TOKENS_PER_CHANNEL_MAX: usize = 1_000;

/// Token names of which one copy serves all tokens so named; most are few words that recur.
pub const SOURCES_SHARED_MAX: usize = 1_024;

/// Channels of one node.
pub const CHANNELS_MAX: usize = 5_000_000;

/// Credentials of one node: each request looks one up.
pub const CREDENTIALS_MAX: usize = 10_000;

/// Sessions that wait to be opened or are open.
pub const SESSIONS_MAX: usize = 100_000;

/// Lines a session may ask for; more than any channel holds.
pub const SESSION_LINES_MAX: u64 = 10_000_000;

/// A certificate that is read for its end: peers choose what they send, real ones have 1 to 4 KiB.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

/// Sources that a survey of a channel tells apart: a channel's tokens, and as many that are gone.
pub const SURVEY_SOURCES_MAX: usize = 2 * TOKENS_PER_CHANNEL_MAX;

/// Channels that `logboom logs` shows at once: a connection and a session each.
pub const LOGS_CHANNELS_MAX: usize = 64;

/// Body of an API request (JSON).
pub const API_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Body of `POST /logs`, after decompression. Logplex took 8,000,000 bytes.
pub const LOGS_BODY_BYTES_MAX: usize = 8_000_000;

/// Unpacked bodies of `POST /logs` on their way in, all together; at least one of any size.
pub const LOGS_BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// By what steps they are counted: below it a body is as good as a small one.
pub const LOGS_BODIES_STEP_BYTES: usize = 64 * 1024;

/// One sender has at most this part of what all senders of `POST /logs` share: several must be
/// broken at once before others notice.
pub const LOGS_SHARES: usize = 8;

/// Header block of an HTTP request.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Greatest `batch_bytes_max` of a drain.
pub const BATCH_BYTES_LIMIT: usize = 8 * 1024 * 1024;

/// What an HTTP drain leaves between the beginnings of two requests when it finds less than a full
/// batch: under load each then carries more and packs better, and a destination is not asked for
/// every few messages. What comes meanwhile waits to its end, with the runtime's ticks two
/// milliseconds at most; that is far below any `wait_max`, and below what fills a channel.
pub const REQUEST_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Default of `batch_bytes_max`: Logplex's 100 KiB.
pub const BATCH_BYTES_DEFAULT: usize = 100 * 1024;

/// Own headers of an HTTP drain.
pub const DRAIN_HEADERS_MAX: usize = 32;

/// One header value, URL, filter or certificate chain given through the API.
pub const OPTION_BYTES_MAX: usize = 64 * 1024;

/// Longest filter expression: nobody types more, and a pattern is compared at each place of a value.
pub const FILTER_BYTES_MAX: usize = 1024;

/// Conditions of one filter: what the fields among them ask is kept in the bits of a word, and each
/// may be looked for in every message.
pub const FILTER_CONDITIONS_MAX: usize = 64;

/// Parentheses within each other, and negations, of one filter: it is read and asked by recursion.
pub const FILTER_DEPTH_MAX: usize = 16;

/// Regular expressions between slashes of one filter: each may take twice `FILTER_REGEX_BYTES_MAX`.
pub const FILTER_REGEXES_MAX: usize = 8;

/// One compiled regular expression of a filter, and as much again for what it learns while it is
/// used.
pub const FILTER_REGEX_BYTES_MAX: usize = 256 * 1024;

/// Rows of one page of an API list.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Answered frames remembered for de-duplication of `POST /logs`, over all senders: some 40 MB at
/// most. Above it the sender with most of them loses its oldest.
pub const FRAME_IDS_MAX: usize = 100_000;

/// Changes that wait for the store.
pub const CHANGES_WAITING_MAX: usize = 1_024;

/// What one datagram can hold (RFC 768).
pub const DATAGRAM_BYTES_MAX: usize = 65_535;

const _: () = assert!(FRAME_BYTES_DEFAULT <= FRAME_BYTES_LIMIT);
const _: () = assert!(2 * FRAME_BYTES_LIMIT <= SEGMENT_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MIN <= SEGMENT_BYTES_MAX);
const _: () = assert!(CHANNEL_BYTES_LIMIT_MIN <= CHANNEL_BYTES_DEFAULT);
const _: () = assert!(BATCH_BYTES_DEFAULT <= BATCH_BYTES_LIMIT);
const _: () = assert!(FRAME_BYTES_LIMIT <= BATCH_BYTES_LIMIT);
const _: () = assert!(FIELD_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(SD_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(SOURCE_BYTES_MAX <= FIELD_BYTES_MAX);

/// A piece of a tail's or a history's body: filled up to here, then one message more at most.
pub const TAIL_FRAME_BYTES_MAX: usize = 64 * 1024;

/// Records a tail looks at, or the search for its start, before it lets other tasks run; its filter
/// may want none of them.
pub const TAIL_SCAN_RECORDS_MAX: u64 = 4_096;

/// Records one step of the search for a history's start looks at, and sequences it keeps.
pub const HISTORY_WINDOW_MAX: u64 = 65_536;

/// A line of the metrics channel; more pairs go on the next line.
pub const METRICS_LINE_BYTES_MAX: usize = 1_000;

/// Lines of a session that does not say how many: Logplex's 100.
pub const SESSION_LINES_DEFAULT: u64 = 100;

/// Rows of a page of an API list when the request does not say.
pub const PAGE_ROWS_DEFAULT: usize = 100;

const _: () = assert!(PAGE_ROWS_DEFAULT <= PAGE_ROWS_MAX);
const _: () = assert!(SESSION_LINES_DEFAULT <= SESSION_LINES_MAX);

/// Longest wait that a destination's `Retry-After` is granted.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What is read of a destination's answer before its connection is closed instead of drained.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is kept of a refusal to show it: its text, not a page of it.
pub const ANSWER_SAID_BYTES_MAX: usize = 512;

/// How long the body of an answer whose status is known may hold up the next batch.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a syslog drain's first batch on a TLS connection waits for a sign that the destination
/// takes the drain's certificate: longer than most round trips.
pub const ACCEPT_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long a syslog drain that closes its connection waits for the destination to close too.
pub const CLOSE_WAIT_MAX: Duration = Duration::from_secs(1);

/// What one syslog datagram carries at most: 65,535 less the headers of IPv4 and UDP.
pub const SYSLOG_DATAGRAM_BYTES_MAX: usize = 65_507;

/// What every path carries in one datagram (RFC 5426, 3.2: receivers should take 2,048 bytes, IPv6
/// paths 1,280 with their headers).
pub const SYSLOG_DATAGRAM_BYTES_SAFE: usize = 1_024;

/// Records that a drain's filter does not want, before the drain lets others run or sends what it
/// found.
pub const FILTERED_RUN_MAX: u64 = 10_000;

/// Failures in a row after which a drain counts as failing, not just as retrying.
pub const FAILING_ATTEMPTS_MIN: u64 = 5;

/// Time without success after which a drain counts as failing, not just as retrying.
pub const FAILING_AFTER: Duration = Duration::from_secs(60);

/// Questions to the name service at once: half of the threads that Tokio has for what blocks.
pub const LOOKUPS_MAX: usize = 256;

/// Client TLS configurations kept for their next use; drains share few.
pub const TLS_CONFIGS_MAX: usize = 1_024;

/// Bodies above this are compressed on a thread of their own, not on a worker of the runtime.
pub const COMPRESS_INLINE_BYTES_MAX: usize = 256 * 1024;

const _: () = assert!(SYSLOG_DATAGRAM_BYTES_SAFE <= SYSLOG_DATAGRAM_BYTES_MAX);
const _: () = assert!(SYSLOG_DATAGRAM_BYTES_MAX <= DATAGRAM_BYTES_MAX);

/// Digits of an octet count (RFC 6587, 3.4.1): more are no count but the start of a line. What any
/// sender's integer can write.
pub const FRAME_COUNT_DIGITS_MAX: usize = 20;

/// Greatest octet count that is followed. Far above any frame, so that a frame too long is skipped
/// by its count; low enough that a wrong one costs no more than this.
pub const FRAME_COUNT_MAX: usize = 16 * 1024 * 1024;

const _: () = assert!(FRAME_BYTES_LIMIT <= FRAME_COUNT_MAX);
const _: () = assert!(LOGS_BODY_BYTES_MAX <= FRAME_COUNT_MAX);

/// Digits of a count and the space behind them.
pub const FRAME_PREFIX_BYTES_MAX: usize = FRAME_COUNT_DIGITS_MAX + 1;

/// Longest SD-NAME (RFC 5424, 6.3.3).
pub const SD_NAME_BYTES_MAX: usize = 32;

/// Longest HOSTNAME of a strict header (RFC 5424, 6.2.4).
pub const HOSTNAME_BYTES_MAX: usize = 255;

/// Longest APP-NAME of a strict header (RFC 5424, 6.2.5).
pub const APP_NAME_BYTES_MAX: usize = 48;

/// Longest PROCID of a strict header (RFC 5424, 6.2.6).
pub const PROCID_BYTES_MAX: usize = 128;

/// Longest MSGID of a strict header (RFC 5424, 6.2.7).
pub const MSGID_BYTES_MAX: usize = 32;

// Control plane.

/// Smallest `batch_bytes_max` of a drain: room for a few ordinary messages.
pub const BATCH_BYTES_LIMIT_MIN: usize = 1024;

/// Smallest `frame_bytes_max` of a drain: behind the longest header of any form (five fields, PRI, a
/// token of our own) there is room for some text. RFC 3164 (4.1) allowed no longer messages.
pub const DRAIN_FRAME_BYTES_LIMIT_MIN: usize = 1024;

const _: () =
    assert!(3 * (FIELD_BYTES_MAX + 1) + 7 + TOKEN_BYTES_MAX + 5 + 64 < DRAIN_FRAME_BYTES_LIMIT_MIN);
const _: () = assert!(DRAIN_FRAME_BYTES_LIMIT_MIN <= FRAME_BYTES_LIMIT);

/// Longest name of a channel, which is for people only.
pub const CHANNEL_NAME_BYTES_MAX: usize = 255;

/// Longest host of a drain URL (RFC 1035, 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;

/// Permissions of one credential.
pub const CREDENTIAL_PERMISSIONS_MAX: usize = 1_000;

/// Changes of one transaction of the store: they share one wait for the disk.
pub const CHANGES_PER_COMMIT_MAX: usize = 64;

/// Pages of the store's file kept in memory: only start and commits read it.
pub const STORE_CACHE_BYTES: usize = 512 * 1024;

/// How long a store that failed rests before it is tried again without a change.
pub const STORE_RETRY: Duration = Duration::from_secs(1);

const _: () = assert!(BATCH_BYTES_LIMIT_MIN <= BATCH_BYTES_DEFAULT);
const _: () = assert!(CHANGES_PER_COMMIT_MAX <= CHANGES_WAITING_MAX);

/// A segment that was filled in less than this makes the next one twice as great.
pub const GROW_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Free buffers of the greatest size that are kept for reuse: 8 MiB.
pub const POOL_BUFFERS_MAX: usize = 32;

/// How often the node looks for messages that are too old. History may be shown this much longer
/// than it is kept, but is not: readers of history leave out what is too old themselves.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// How often the node compares its memory with its budget, if no writer asks for it before.
pub const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Least time between two rounds of freeing memory: a round looks at every channel.
pub const FREE_INTERVAL_MIN: Duration = Duration::from_millis(50);

// Postgres and Redis.

/// A line of a Postgres event, as its own syslog destination divides them (`PG_SYSLOG_LIMIT`).
pub const POSTGRES_CHUNK_BYTES_MAX: usize = 900;

/// Longest `log_line_prefix` that is read; Heroku's has 250 bytes.
pub const POSTGRES_PREFIX_BYTES_MAX: usize = 1_024;

/// The regular expression made of a `log_line_prefix`, compiled.
pub const POSTGRES_PREFIX_REGEX_BYTES_MAX: usize = 1024 * 1024;

/// Processes of a server whose memory is added up: above any sensible `max_connections`.
pub const MACHINE_PROCESSES_MAX: usize = 10_000;

/// One event of a Postgres log, and what is read of a file before an event must have ended. The
/// longest statements are bulk inserts; what is longer is skipped and told.
pub const POSTGRES_EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Events of a Postgres log that are known again in other files: those of the moments in which the
/// files are written side by side.
pub const POSTGRES_EVENTS_KNOWN_MAX: usize = 1_024;

/// Processes of whose events over syslog more lines may come: each has one at most.
pub const POSTGRES_EVENTS_OPEN_MAX: usize = 1_024;

/// One read of a Postgres log file.
pub const POSTGRES_READ_BYTES_MAX: u64 = 256 * 1024;

/// Log files of one directory: all are looked at whenever the newest one rests.
pub const POSTGRES_LOG_FILES_MAX: usize = 10_000;

/// Longest URL of a database: nobody types more.
pub const POSTGRES_URL_BYTES_MAX: usize = 4 * 1024;

/// Events that wait between what reads a server and the shipper, whose own queue is greater.
pub const OUTLET_EVENTS_MAX: usize = 1_024;

/// Bytes of those events; `POSTGRES_EVENT_BYTES_MAX` fits several times.
pub const OUTLET_BYTES_MAX: usize = 32 * 1024 * 1024;

/// First wait before a database is connected to again.
pub const SERVER_RETRY_MIN: Duration = Duration::from_millis(250);

/// Longest wait before a database is connected to again: a restart is noticed within it.
pub const SERVER_RETRY_MAX: Duration = Duration::from_secs(30);

/// Longest URL of a Redis server.
pub const REDIS_URL_BYTES_MAX: usize = 4 * 1024;

/// One reply of a Redis server: `REDIS_SLOWLOG_ENTRIES_MAX` entries, of which each is 4 KiB at most.
pub const REDIS_REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Lists within each other in a reply of a Redis server: a slow command's words are the second.
pub const REDIS_REPLY_DEPTH_MAX: usize = 8;

/// Slow commands that are asked for at once; a server keeps 128 unless it is told otherwise.
pub const REDIS_SLOWLOG_ENTRIES_MAX: usize = 1_024;

const _: () = assert!(POSTGRES_EVENT_BYTES_MAX <= OUTLET_BYTES_MAX);

// Shipper.

/// Lines' bytes that wait in a shipper to be put into a batch.
pub const SHIP_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest line in a shipper's queue: a longer one is several. With the headers of its parts it fits
/// a request, behind a batch that is nearly full.
pub const SHIP_ITEM_BYTES_MAX: usize = 1024 * 1024;

/// A batch of a shipper ends with the line that brings it here: what few lines of text are not, and
/// many long ones are.
pub const SHIP_BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Bytes for which a request has a second more than its timeout: a batch that a slow line cannot carry
/// in time would be sent for ever, in front of all others.
pub const SHIP_BYTES_PER_SECOND_MIN: usize = 64 * 1024;

/// Greatest `--max-line-length`: one part, its header and its count fit a frame of any router.
pub const SHIP_LINE_BYTES_LIMIT: usize = FRAME_BYTES_DEFAULT - 1_024;

/// Smallest `--max-line-length`: room for marks and some characters between them.
pub const SHIP_LINE_BYTES_LIMIT_MIN: usize = 64;

/// Greatest `--batch-size`.
pub const SHIP_BATCH_LINES_LIMIT: usize = 10_000;

/// Greatest `--back-buff`, in batches.
pub const SHIP_BACK_BUFF_LIMIT: usize = 10_000;

/// A shipper's connection unused for this long is closed: before the router gives it up.
pub const SHIP_CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// A shipper's connection this old is made anew, so that a name that leads elsewhere is followed.
pub const SHIP_CONNECTION_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// Wait of a shipper after its first failure in a row.
pub const SHIP_RETRY_DELAY_MIN: Duration = Duration::from_millis(100);

/// Longest wait of a shipper between tries, unless `Retry-After` asks for more.
pub const SHIP_RETRY_DELAY_MAX: Duration = Duration::from_secs(15);

/// One read of what a shipper reads lines from.
pub const SHIP_READ_BYTES_MAX: usize = 64 * 1024;

/// Longest whole frame that a shipper is given (`--input-format rfc5424`, a socket): what routers
/// keep of one unless they are told otherwise.
pub const SHIP_FRAME_BYTES_MAX: usize = FRAME_BYTES_DEFAULT;

/// At its end a shipper reads on while there is something within this time: what was written before.
pub const SHIP_LAST_READ_WAIT: Duration = Duration::from_millis(50);

/// For all of these last reads of a source together.
pub const SHIP_LAST_READS_MAX: Duration = Duration::from_secs(1);

/// Files that one shipper follows: each is open, and looked at four times a second.
pub const SHIP_FILES_MAX: usize = 1_024;

/// Files that a shipper looks at of one pattern: more than it follows, so that it can say so.
pub const SHIP_FILES_FOUND_MAX: usize = 4 * SHIP_FILES_MAX;

/// Files whose places a shipper remembers: those that were rotated away among them.
pub const SHIP_PLACES_MAX: usize = 4_096;

/// Without a spool the places of files are written at most this often: what a shipper that is
/// killed sends again.
pub const SHIP_PLACES_SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// The beginning of a followed file by which it is told from others: more than most first lines.
pub const SHIP_FILE_HEAD_BYTES: usize = 256;

/// The end of what was read of a followed file, by which a copy of it is told from another file.
pub const SHIP_FILE_COMPARED_BYTES: usize = 4 * 1024;

/// A copy of a file that was emptied was made at most this long before that was seen whole for the
/// last time: some minutes are enough to copy some GiB.
pub const SHIP_COPY_AGE_MAX: Duration = Duration::from_secs(120);

/// Reads of one followed file before others have their turn: 4 MiB.
pub const SHIP_FILE_READS_MAX: usize = 64;

/// How often a followed file is looked at.
pub const SHIP_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How often files to follow are looked for.
pub const SHIP_SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// A file that has no name any more, and grew no more for this long, is done with: who rotates files
/// tells their writer within that time.
pub const SHIP_FILE_GONE_AFTER: Duration = Duration::from_secs(30);

/// Looks for files, one after the other, that did not find one which is done with: a moment in which
/// nobody looked says nothing.
pub const SHIP_FILE_SCANS_MISSED_MIN: u32 = 3;

/// Connections to a shipper's local socket at once; more wait.
pub const SHIP_CONNECTIONS_MAX: usize = 256;

/// What a local datagram can hold, with Linux' usual socket buffers (208 KiB).
pub const SHIP_DATAGRAM_BYTES_MAX: usize = 256 * 1024;

/// Smallest `--spool-bytes-max`: some batches of the greatest size.
pub const SHIP_SPOOL_BYTES_LIMIT_MIN: u64 = 4 * 1024 * 1024;

// A batch ends with one line more than its bytes allow, and in the smallest parts the headers are
// twice as long as the text.
const _: () = assert!(3 * (SHIP_BATCH_BYTES_MAX + SHIP_ITEM_BYTES_MAX) <= LOGS_BODY_BYTES_MAX);

// OpenTelemetry.

/// Attributes of a log record, out and in: the limit that OpenTelemetry's SDKs have by default.
pub const OTLP_ATTRIBUTES_MAX: usize = 128;

/// A log record or a resource of a request, encoded: far above any frame. It is decoded at once, and
/// one that is all tiny attributes takes some fifty times its bytes meanwhile.
pub const OTLP_RECORD_BYTES_MAX: usize = 1024 * 1024;

const _: () = assert!(FRAME_BYTES_LIMIT <= OTLP_RECORD_BYTES_MAX);

// Sources: what reads the machine.

/// What is read of one file of `/proc` or of a control group: most hold a few hundred bytes, the
/// list of mounts and the members of a control group as many lines as there are.
pub const PROC_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Processes looked at to find one's descendants: as many as the kernel allows by default.
pub const PROC_PROCESSES_MAX: usize = 32_768;

/// Threads whose state is looked at for one sample of the load.
pub const PROC_THREADS_MAX: usize = 32_768;

/// Control groups inside each other below a process's own: systemd makes two or three.
pub const CGROUP_DEPTH_MAX: usize = 16;

/// Control groups that may be below a process's own for its numbers to be used: each is looked into.
pub const CGROUPS_MAX: usize = 1_000;

/// How often the load of a process is sampled: as often as the kernel samples its own.
pub const LOAD_SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// What is still read from the pipe of a process that has ended, while others go on writing: more
/// than the process itself can have left in it (`/proc/sys/fs/pipe-max-size`).
pub const RUN_LEFT_BYTES_MAX: usize = 1024 * 1024;

/// Signals that were read and wait to be passed on to a process; more wait with the kernel, which
/// keeps one of each.
pub const SIGNALS_WAITING_MAX: usize = 16;

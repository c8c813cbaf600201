//! What people see: the program in a real terminal (tmux), with keys, colours, sizes and signals.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests stop at a surprise"
)]

mod support;

use std::process::Command;

use support::CREDENTIAL;
use support::Router;
use support::message;
use support::program::json;
use support::program::url;
use support::sinks::HttpSink;
use support::sinks::Reply;

/// A terminal with a shell in it, which knows the router.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn start(router: &Router, columns: usize, rows: usize) -> Self {
        let terminal = Self {
            socket: format!("logboom-test-{}-{}", std::process::id(), router.http.port()),
        };
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_logboom"));
        let folder = program.parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap();
        let shell = format!(
            "env -i TERM=screen-256color LANG=C.UTF-8 'PS1=$ ' 'PATH={folder}:{path}' \
             LOGBOOM_URL={} LOGBOOM_CREDENTIAL={CREDENTIAL} sh",
            url(router)
        );
        let [columns, rows] = [columns, rows].map(|size| size.to_string());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            &shell,
        ]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-L", &self.socket])
            .args(arguments)
            .env_remove("TMUX")
            .output()
            .expect("tmux is missing: tests/peers/install.sh");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a command.
    fn run(&self, line: &str) {
        self.keys(&[line, "Enter"]);
    }

    /// What stands on the screen.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with its colours, as escape sequences.
    fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the screen is as `is_so` wants it; gives it.
    async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let deadline = tokio::time::Instant::now() + support::PATIENCE;
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(30));
        while tokio::time::Instant::now() < deadline {
            ticks.tick().await;
            last = self.screen();
            if is_so(&last) {
                return last;
            }
        }
        panic!("{what} did not come:\n{last}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ends the shell and what runs in it.
        let ended = Command::new("tmux")
            .args(["-L", &self.socket, "kill-server"])
            .output();
        assert!(ended.is_ok(), "tmux is missing");
    }
}

/// The ids in the table, from the top.
fn ids(screen: &str) -> Vec<String> {
    screen
        .lines()
        .skip_while(|line| !line.contains("CHANNEL"))
        .skip(1)
        .take_while(|line| !line.starts_with("q leave") && !line.starts_with('/'))
        .map(|line| line.trim_start_matches(['▸', ' ']))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Three channels: one that is busy, one that has lost something, one whose drain is behind.
async fn scene(router: &Router, sink: &HttpSink) {
    let busy = router.channel("busy").await;
    let lossy = router.channel("lossy").await;
    let behind = router.channel("behind").await;
    let drain = router.drain("lossy", &sink.url(), "").await;
    // Bound and let go: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    router.drain("behind", &away, "").await;
    router.send_tcp(&message(&lossy, "refused")).await;
    router
        .drain_until("lossy", drain, |status| status["lost"]["refused"] == 1)
        .await;
    for index in 0..40 {
        router
            .send_tcp(&message(&busy, &format!("line {index}")))
            .await;
        if index < 20 {
            router.send_tcp(&message(&behind, "waits")).await;
        }
    }
}

#[tokio::test]
async fn top_sorts_and_filters() {
    let router = Router::start().await;
    let sink = HttpSink::start([Reply::status(404)]).await;
    scene(&router, &sink).await;
    let terminal = Terminal::start(&router, 100, 20);
    terminal.run("logboom top");
    let screen = terminal
        .until("the table", |screen| ids(screen).len() == 3)
        .await;
    assert!(
        screen.contains("3 channels") && screen.contains("▼RATE/S"),
        "{screen}"
    );
    assert_eq!(ids(&screen).first().unwrap(), "busy");
    assert!(
        terminal.coloured().contains("\x1b[38;5;1m"),
        "red: {}",
        terminal.coloured()
    );

    terminal.keys(&["l"]);
    let is_first =
        |id: &'static str| move |screen: &str| ids(screen).first().is_some_and(|first| first == id);
    terminal.until("by lag", is_first("behind")).await;
    terminal.keys(&["x"]);
    let screen = terminal.until("by loss", is_first("lossy")).await;
    assert!(screen.contains("▼LOST"), "{screen}");

    terminal.keys(&["/", "u", "s", "y"]);
    terminal
        .until("the filter", |screen| ids(screen) == ["busy"])
        .await;
    terminal.keys(&["Enter"]);
    terminal
        .until("the kept filter", |screen| screen.contains("/ filter: usy"))
        .await;
    terminal.keys(&["/", "x", "Escape"]);
    terminal
        .until("the filter before", |screen| {
            screen.contains("/ filter: usy")
        })
        .await;
    terminal.keys(&["/", "BSpace", "BSpace", "BSpace", "Enter"]);
    terminal
        .until("all again", |screen| ids(screen).len() == 3)
        .await;
    terminal.keys(&["Down", "Down"]);
    terminal
        .until("a row", |screen| {
            screen.lines().any(|line| line.starts_with("▸ "))
        })
        .await;

    router.stop().await;
}

#[tokio::test]
async fn top_fits_the_screen_and_gives_it_back() {
    let router = Router::start().await;
    router.channel("shop").await;
    let terminal = Terminal::start(&router, 100, 20);
    terminal.run("echo before; logboom top");
    let screen = terminal
        .until("the table", |screen| ids(screen) == ["shop"])
        .await;
    assert!(
        !screen.contains("before"),
        "it has a screen of its own: {screen}"
    );
    terminal.tmux(&["resize-window", "-x", "80", "-y", "8"]);
    let is_small = |screen: &str| {
        screen.lines().all(|line| line.chars().count() <= 80)
            && screen
                .lines()
                .nth(7)
                .is_some_and(|line| line.starts_with("q leave"))
    };
    terminal.until("the smaller table", is_small).await;

    terminal.keys(&["q"]);
    let is_back = |screen: &str| screen.contains("before") && !screen.contains("CHANNEL");
    terminal.until("the screen before", is_back).await;
    // The terminal echoes again, and cooks lines.
    terminal.run("echo code $?");
    terminal
        .until("the shell", |screen| screen.contains("code 0"))
        .await;
    router.stop().await;
}

#[tokio::test]
async fn top_gives_the_screen_back_when_it_is_ended() {
    let router = Router::start().await;
    router.channel("shop").await;
    let terminal = Terminal::start(&router, 80, 12);
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid").display().to_string();
    for (key, code) in [(Some("C-c"), 130), (None, 143)] {
        let top = format!("sh -c 'echo $$ > {pid_file}; exec logboom top'");
        terminal.run(&format!("clear; echo before; {top}; echo code $?"));
        let is_shown = |screen: &str| screen.contains("▼RATE/S");
        terminal.until("the table", is_shown).await;
        match key {
            Some(key) => terminal.keys(&[key]),
            None => {
                let pid = std::fs::read_to_string(&pid_file).unwrap();
                let sent = Command::new("kill")
                    .args(["-s", "TERM", pid.trim()])
                    .status();
                assert!(sent.unwrap().success());
            }
        }
        let is_back = |screen: &str| {
            screen.contains("before")
                && !screen.contains("CHANNEL")
                && screen.lines().any(|line| line == format!("code {code}"))
        };
        terminal.until("the screen before", is_back).await;
    }
    // Away while it is watched: told, and waited for.
    terminal.run("clear; logboom top");
    terminal
        .until("the table", |screen| screen.contains("shop"))
        .await;
    router.kill().await;
    let is_told = |screen: &str| screen.contains("no answer from") && screen.contains("shop");
    terminal.until("the trouble", is_told).await;
}

#[tokio::test]
async fn top_is_a_plain_table_where_nobody_watches() {
    let router = Router::start().await;
    let sink = HttpSink::start([Reply::status(404)]).await;
    scene(&router, &sink).await;
    let url = url(&router);
    let shown = support::program::good(&url, "top").await;
    assert_eq!(ids(&shown).first().unwrap(), "busy", "{shown}");
    assert!(
        shown.starts_with("CHANNEL  RATE/S  LAG  LOST  DAY  MESSAGES  DRAINS  STATE\n"),
        "{shown}"
    );
    assert_eq!(
        ids(&support::program::good(&url, "top --once --sort lag").await)[0],
        "behind"
    );
    assert_eq!(
        ids(&support::program::good(&url, "top --filter OSS").await),
        ["lossy"]
    );
    let found = json(&url, "top --sort lost").await;
    let first = &found["channels"][0];
    assert_eq!(
        (&first["channel"], &first["lost"]),
        (&"lossy".into(), &1.into())
    );
    assert_eq!(first["lost_last_day"], 1);
    // 40 messages in a moment, over a window of 5 s.
    let busy = found["channels"].as_array().unwrap().iter();
    let busy = busy.clone().find(|row| row["channel"] == "busy").unwrap();
    assert_eq!(busy["messages"], 40);
    let rate = busy["messages_per_second"].as_f64().unwrap();
    assert!(0.0 < rate && rate <= 8.0, "{rate}");
    for (query, said) in [
        ("sort=size", "sort must be rate, lag or lost"),
        ("limit=0", "limit must be a number from 1 to 1000"),
        (
            &format!("contains={}", "x".repeat(129)),
            "longer than any id",
        ),
    ] {
        let answer = router.call("GET", &format!("/v3/stats?{query}"), "").await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(said), "{}", answer.text());
    }
    router.stop().await;
}

#[tokio::test]
async fn logs_have_colours_end_and_page_in_a_terminal() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    router.send_tcp(&message(&token, "well")).await;
    let failed = message(&token, "it failed").replace("<134>", "<131>");
    router.send_tcp(&failed).await;
    let terminal = Terminal::start(&router, 100, 12);
    terminal.run("logboom logs shop --tail; echo code $?");
    terminal
        .until("the lines", |screen| screen.contains("it failed"))
        .await;
    let coloured = terminal.coloured();
    assert!(coloured.contains("\x1b[36mapp[web.1]:"), "{coloured:?}");
    assert!(coloured.contains("\x1b[31mit failed"), "{coloured:?}");
    terminal.keys(&["C-c"]);
    let screen = terminal
        .until("the end", |screen| screen.contains("code 130"))
        .await;
    assert!(screen.contains("^C\ncode 130"), "no half line: {screen}");

    terminal.run("clear; NO_COLOR=1 logboom logs shop; echo code $?");
    terminal
        .until("the lines", |screen| screen.contains("code 0"))
        .await;
    assert!(
        !terminal.coloured().contains("\x1b[3"),
        "{:?}",
        terminal.coloured()
    );

    router.stop().await;
}

#[tokio::test]
async fn logs_are_paged_where_that_is_asked_for() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    router.send_tcp(&message(&token, "well")).await;
    let failed = message(&token, "it failed").replace("<134>", "<131>");
    router.send_tcp(&failed).await;
    let terminal = Terminal::start(&router, 100, 12);
    // More than a screen: the pager stays until it is left.
    for index in 0..60 {
        router
            .send_tcp(&message(&token, &format!("line {index}")))
            .await;
    }
    terminal.run("clear; logboom logs shop --pager; echo code $?");
    let is_paged = |screen: &str| screen.contains("it failed") && !screen.contains("code 0");
    terminal.until("the first page", is_paged).await;
    assert!(
        terminal.coloured().contains("\x1b[36mapp[web.1]:"),
        "{:?}",
        terminal.coloured()
    );
    terminal.keys(&["G"]);
    terminal
        .until("the last page", |screen| screen.contains("line 59"))
        .await;
    terminal.keys(&["q"]);
    terminal
        .until("the shell", |screen| screen.contains("code 0"))
        .await;
    terminal.run("clear; PAGER='head -n 1' logboom logs shop --pager; echo code $?");
    let screen = terminal
        .until("the shell", |screen| screen.contains("code 0"))
        .await;
    assert!(
        screen.contains("]: well") || screen.contains("]:     well"),
        "{screen}"
    );
    terminal.run("clear; PAGER=nopager logboom logs shop --pager; echo code $?");
    terminal
        .until("the complaint", |screen| {
            screen.contains("PAGER \"nopager\": it cannot be started") && screen.contains("code 2")
        })
        .await;
    terminal.run("clear; logboom logs shop --color always | less -R; echo code $?");
    terminal
        .until("the first page", |screen| screen.contains("it failed"))
        .await;
    assert!(terminal.coloured().contains("\x1b[31mit failed"));
    terminal.keys(&["q"]);
    terminal
        .until("the shell", |screen| screen.contains("code 0"))
        .await;
    router.stop().await;
}

#[tokio::test]
async fn waiting_is_told_and_gone_when_it_is_over() {
    let router = Router::start().await;
    // Connections are taken by the system, and nobody ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", silent.local_addr().unwrap());
    let terminal = Terminal::start(&router, 80, 10);
    for line in ["logs shop", "logs shop > /dev/null", "check shop"] {
        terminal.run(&format!(
            "clear; LOGBOOM_URL={at} logboom {line}; echo code $?"
        ));
        let is_told = |screen: &str| screen.lines().any(|line| line.ends_with(" …"));
        terminal.until("the waiting", is_told).await;
        terminal.keys(&["C-c"]);
        let is_over =
            |screen: &str| screen.lines().any(|line| line == "code 130") && !screen.contains(" …");
        terminal.until("the end", is_over).await;
    }
    router.stop().await;
}

#[tokio::test]
async fn drains_are_watched_in_colours_that_fit() {
    let router = Router::start().await;
    let sink = HttpSink::start([Reply::status(404)]).await;
    scene(&router, &sink).await;
    let terminal = Terminal::start(&router, 80, 10);
    terminal.run("logboom drains status; echo code $?");
    let is_whole = |screen: &str| screen.contains("Ctrl-C ends") && screen.contains("lossy");
    let screen = terminal.until("the table", is_whole).await;
    let is_cut = |line: &&str| line.contains(" behind ") && line.ends_with('…');
    assert_eq!(screen.lines().filter(is_cut).count(), 1, "{screen}");
    let coloured = terminal.coloured();
    // A number of its own colour: what was lost.
    assert!(coloured.contains("\x1b[31m1\x1b["), "{coloured:?}");
    terminal.keys(&["C-c"]);
    let is_left = |screen: &str| {
        screen.contains("code 0") && screen.contains("lossy") && !screen.contains("Ctrl-C ends")
    };
    terminal.until("what was seen last", is_left).await;
    router.stop().await;
}

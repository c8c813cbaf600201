//! What the demo's apps say: web dynos, a worker, the router in front, Postgres. Pure.

/// Which of the channel's tokens a line is sent with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Producer {
    /// The app's own code: token `app`, over syslog.
    App,
    /// The platform: token `heroku`, over HTTP.
    Platform,
}

/// One line to be sent.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) producer: Producer,
    pri: u8,
    procid: String,
    text: String,
}

impl Line {
    /// The line as a frame (RFC 5424; RFC 6587, 3.4.1): the token stands in the APP-NAME.
    pub(crate) fn frame(&self, time: &str, token: &str) -> Vec<u8> {
        let Self {
            pri, procid, text, ..
        } = self;
        let message = format!("<{pri}>1 {time} host {token} {procid} - - {text}\n");
        format!("{} {message}", message.len()).into_bytes()
    }
}

/// Makes lines, one request or job after the other.
pub(crate) struct Script {
    state: u64,
    step: u64,
}

impl Script {
    /// The same seed makes the same lines.
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            step: 0,
        }
    }

    /// A number from 0 to `bound - 1` (xorshift64*; nothing here needs better).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound.max(1)
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let count = u64::try_from(choices.len()).unwrap_or(1);
        let index = usize::try_from(self.below(count)).unwrap_or(0);
        choices.get(index).copied().unwrap_or_default()
    }

    /// The lines of what happens next.
    pub(crate) fn next_lines(&mut self) -> Vec<Line> {
        self.step += 1;
        match self.step % 12 {
            1 if self.step == 1 => self.start(),
            5 => self.dyno_metrics(),
            9 => vec![self.postgres_metrics()],
            3 | 8 => self.job(),
            11 => self.slow_query(),
            _ => self.request(),
        }
    }

    fn start(&mut self) -> Vec<Line> {
        ["web.1", "web.2", "worker.1"]
            .into_iter()
            .flat_map(|dyno| {
                let command = match dyno {
                    "worker.1" => "bundle exec sidekiq",
                    _ => "bundle exec puma -C config/puma.rb",
                };
                [
                    platform(dyno, format!("Starting process with command `{command}`")),
                    platform(dyno, "State changed from starting to up".to_owned()),
                ]
            })
            .collect()
    }

    fn request(&mut self) -> Vec<Line> {
        let dyno = self.pick(&["web.1", "web.2"]);
        let path = self.pick(&[
            "/",
            "/products",
            "/products/42",
            "/cart",
            "/checkout",
            "/api/v1/stock",
        ]);
        let method = if path == "/checkout" { "POST" } else { "GET" };
        let id = format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            self.below(1 << 31),
            self.below(1 << 16),
            self.below(1 << 12),
            self.below(1 << 12),
            self.below(1 << 31)
        );
        let client = format!("203.0.113.{}", 1 + self.below(250));
        if self.below(25) == 0 {
            return vec![router(format!(
                "at=error code=H12 desc=\"Request timeout\" method={method} path=\"{path}\" \
                 host=shop.example.com request_id={id} fwd=\"{client}\" dyno={dyno} connect=1ms \
                 service=30000ms status=503 bytes=0 protocol=https"
            ))];
        }
        let status = match self.below(20) {
            0 => 404,
            1 => 302,
            2 => 500,
            _ => 200,
        };
        let service = 8 + self.below(140);
        let database = 1 + self.below(service / 2);
        let bytes = 300 + self.below(20_000);
        let connect = self.below(3);
        let level = if status == 500 { "error" } else { "info" };
        vec![
            app(
                dyno,
                format!(
                    "level={level} method={method} path={path} request_id={id} status={status} \
                 duration={service}ms db={database}ms view={}ms",
                    service - database
                ),
            ),
            router(format!(
                "at=info method={method} path=\"{path}\" host=shop.example.com request_id={id} \
                 fwd=\"{client}\" dyno={dyno} connect={connect}ms service={}ms status={status} \
                 bytes={bytes} protocol=https",
                service + connect
            )),
        ]
    }

    fn job(&mut self) -> Vec<Line> {
        let class = self.pick(&["MailReceipt", "ResizeImage", "SyncStock"]);
        let id = self.below(1 << 31);
        let ms = 20 + self.below(900);
        let mut lines = vec![app(
            "worker.1",
            format!("class={class} jid={id:08x} INFO: start"),
        )];
        lines.push(if self.below(9) == 0 {
            app("worker.1", format!("class={class} jid={id:08x} level=error fail: connection reset by peer, retry in 15 s"))
        } else {
            app("worker.1", format!("class={class} jid={id:08x} elapsed={ms}ms INFO: done"))
        });
        lines
    }

    fn dyno_metrics(&mut self) -> Vec<Line> {
        let dyno = self.pick(&["web.1", "web.2", "worker.1"]);
        let source =
            format!("source={dyno} dyno=heroku.2808254.d97d0ea7-cf3d-411b-b453-d2943a50b456");
        let load = format!("0.{:02}", self.below(100));
        let rss = 180 + self.below(200);
        vec![
            metrics(
                dyno,
                format!(
                    "{source} sample#load_avg_1m={load} sample#load_avg_5m=0.41 sample#load_avg_15m=0.38"
                ),
            ),
            metrics(
                dyno,
                format!(
                    "{source} sample#memory_total={}.31MB sample#memory_rss={rss}.06MB \
                 sample#memory_cache=4.25MB sample#memory_swap=0.00MB \
                 sample#memory_pgpgin=348836pages sample#memory_pgpgout=343403pages \
                 sample#memory_quota=512.00MB",
                    rss + 4
                ),
            ),
        ]
    }

    fn postgres_metrics(&mut self) -> Line {
        let connections = 8 + self.below(20);
        Line {
            producer: Producer::App,
            pri: 134,
            procid: "heroku-postgres".to_owned(),
            text: format!(
                "source=DATABASE addon=postgresql-curly-41207 sample#current_transaction={} \
                 sample#db_size=73580371bytes sample#tables=31 sample#active-connections={connections} \
                 sample#waiting-connections=0 sample#index-cache-hit-rate=0.99{:03} \
                 sample#table-cache-hit-rate=0.98{:03} sample#load-avg-1m=0.{:02}",
                90_000 + self.step,
                self.below(1_000),
                self.below(1_000),
                self.below(100)
            ),
        }
    }

    fn slow_query(&mut self) -> Vec<Line> {
        let process = 1_000 + self.below(9_000);
        let number = 1 + self.step;
        let ms = 1_100 + self.below(4_000);
        let line = |chunk: u32, text: String| Line {
            producer: Producer::App,
            pri: 134,
            procid: format!("postgres.{process}"),
            text: format!("[DATABASE] [{number}-{chunk}] {text}"),
        };
        vec![
            line(
                1,
                format!(
                    " sql_error_code = 00000 LOG:  duration: {ms}.887 ms  statement: SELECT * FROM orders"
                ),
            ),
            line(2, "\tWHERE state = 'open' ORDER BY created_at".to_owned()),
        ]
    }
}

fn app(dyno: &str, text: String) -> Line {
    line(Producer::App, 190, dyno, text)
}

fn router(text: String) -> Line {
    line(Producer::Platform, 158, "router", text)
}

fn platform(dyno: &str, text: String) -> Line {
    line(Producer::Platform, 45, dyno, text)
}

fn metrics(dyno: &str, text: String) -> Line {
    platform(dyno, text)
}

fn line(producer: Producer, pri: u8, procid: &str, text: String) -> Line {
    Line {
        producer,
        pri,
        procid: procid.to_owned(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_its_bytes() {
        let line = app("web.1", "hé".to_owned());
        let frame = String::from_utf8(line.frame("2026-11-20T17:00:00+00:00", "t.x")).unwrap();
        assert_eq!(
            frame,
            "56 <190>1 2026-11-20T17:00:00+00:00 host t.x web.1 - - hé\n"
        );
    }

    #[test]
    fn every_sort_of_line_comes_soon() {
        let mut script = Script::new(7);
        let lines: Vec<Line> = (0..24).flat_map(|_| script.next_lines()).collect();
        for procid in ["web.1", "web.2", "worker.1", "router", "heroku-postgres"] {
            assert!(lines.iter().any(|line| line.procid == procid), "{procid}");
        }
        assert!(
            lines
                .iter()
                .any(|line| line.procid.starts_with("postgres."))
        );
        for producer in [Producer::App, Producer::Platform] {
            assert!(lines.iter().any(|line| line.producer == producer));
        }
        assert!(lines.iter().all(|line| !line.text.contains('\n')));
    }
}

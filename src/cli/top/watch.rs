//! The live table: keys, a question a second, and the screen, which is given back however it ends.

use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use crossterm::event::Event;
use crossterm::event::EventStream;
use crossterm::event::KeyCode;
use crossterm::event::KeyEvent;
use crossterm::event::KeyEventKind;
use crossterm::event::KeyModifiers;
use futures_core::Stream;
use ratatui::widgets::TableState;
use serde_json::Value;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time::MissedTickBehavior;

use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::logs::INTERRUPTED_CODE;
use crate::cli::top::Sort;
use crate::cli::top::stats;
use crate::cli::top::stats::Stats;
use crate::cli::top::view::View;
use crate::limits::CHANNEL_ID_BYTES_MAX;

/// What people watch, and how.
pub(crate) struct Watch<'c> {
    client: &'c Client,
    sort: Sort,
    filter: String,
    /// The filter before somebody began to type another.
    filter_before: Option<String>,
    stats: Stats,
    trouble: Option<String>,
    place: TableState,
    has_colours: bool,
}

/// What a key asks for.
#[derive(Debug, Eq, PartialEq)]
enum Wish {
    Nothing,
    /// To ask anew at once.
    Ask,
    Leave,
    Interrupt,
}

type Question<'c> = Pin<Box<dyn Future<Output = Result<Value, CliError>> + 'c>>;

impl<'c> Watch<'c> {
    /// Nothing is shown yet.
    pub(crate) fn new(client: &'c Client, sort: Sort, filter: &str, has_colours: bool) -> Self {
        Self {
            client,
            sort,
            filter: filter.to_owned(),
            filter_before: None,
            stats: Stats::default(),
            trouble: None,
            place: TableState::default(),
            has_colours,
        }
    }

    /// Shows it until it is left. The first answer must come: a wrong credential does not get better.
    pub(crate) async fn run(mut self) -> Result<ExitCode, CliError> {
        let first = stats::ask(self.client, self.sort, &self.filter).await?;
        self.stats = Stats::of(first)?;
        let mut ends = Ends::new().map_err(CliError::Runtime)?;
        let mut screen = ratatui::try_init().map_err(CliError::Output)?;
        let watched = self.watch(&mut screen, &mut ends).await;
        let restored = ratatui::try_restore().map_err(CliError::Output);
        watched.and_then(|code| restored.map(|()| code))
    }

    async fn watch(
        &mut self,
        screen: &mut ratatui::DefaultTerminal,
        ends: &mut Ends,
    ) -> Result<ExitCode, CliError> {
        let mut events = EventStream::new();
        let mut second = tokio::time::interval(INTERVAL);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.reset();
        let mut question: Option<Question<'c>> = None;
        loop {
            self.draw(screen)?;
            tokio::select! {
                code = ends.next() => return Ok(ExitCode::from(code)),
                event = next(&mut events) => match self.heed(event?) {
                    Wish::Nothing => {}
                    Wish::Ask => question = Some(self.question()),
                    Wish::Leave => return Ok(ExitCode::SUCCESS),
                    Wish::Interrupt => return Ok(ExitCode::from(INTERRUPTED_CODE)),
                },
                answer = answered(&mut question) => {
                    question = None;
                    self.take(answer);
                }
                _ = second.tick(), if question.is_none() => question = Some(self.question()),
            }
        }
    }

    fn question(&self) -> Question<'c> {
        let (client, sort, filter) = (self.client, self.sort, self.filter.clone());
        Box::pin(async move { stats::ask(client, sort, &filter).await })
    }

    /// Shows `answer`; of one that failed, why, above what was there before.
    fn take(&mut self, answer: Result<Value, CliError>) {
        match answer.and_then(Stats::of) {
            Ok(stats) => {
                self.stats = stats;
                self.trouble = None;
                // A shorter table has no such row any more.
                let last = self.stats.channels.len().checked_sub(1);
                self.place.select(self.place.selected().min(last));
            }
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    fn draw(&mut self, screen: &mut ratatui::DefaultTerminal) -> Result<(), CliError> {
        let view = View {
            stats: &self.stats,
            sort: self.sort,
            filter: &self.filter,
            is_typing: self.filter_before.is_some(),
            trouble: self.trouble.as_deref(),
            has_colours: self.has_colours,
        };
        let place = &mut self.place;
        let drawn = screen.draw(|frame| view.draw(frame, place));
        drawn.map(drop).map_err(CliError::Output)
    }

    /// Does what an event asks for; a new size is drawn anyway.
    fn heed(&mut self, event: Event) -> Wish {
        let Event::Key(key) = event else {
            return Wish::Nothing;
        };
        if key.kind == KeyEventKind::Release {
            return Wish::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Interrupt;
        }
        if self.filter_before.is_some() {
            return self.typed(key);
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Leave,
            KeyCode::Char('r') => return self.sorted(Sort::Rate),
            KeyCode::Char('l') => return self.sorted(Sort::Lag),
            KeyCode::Char('x') => return self.sorted(Sort::Lost),
            KeyCode::Char('/') => self.filter_before = Some(self.filter.clone()),
            KeyCode::Down | KeyCode::Char('j') => self.place.select_next(),
            KeyCode::Up | KeyCode::Char('k') => self.place.select_previous(),
            KeyCode::PageDown => self.place.scroll_down_by(PAGE_ROWS),
            KeyCode::PageUp => self.place.scroll_up_by(PAGE_ROWS),
            KeyCode::Home => self.place.select_first(),
            KeyCode::End => self.place.select(self.stats.channels.len().checked_sub(1)),
            _ => {}
        }
        Wish::Nothing
    }

    fn sorted(&mut self, sort: Sort) -> Wish {
        self.sort = sort;
        Wish::Ask
    }

    /// A key that goes into the filter.
    fn typed(&mut self, key: KeyEvent) -> Wish {
        match key.code {
            KeyCode::Enter => {
                self.filter_before = None;
                return Wish::Nothing;
            }
            KeyCode::Esc => self.filter = self.filter_before.take().unwrap_or_default(),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(typed)
                if self.filter.len() + typed.len_utf8() <= CHANNEL_ID_BYTES_MAX =>
            {
                self.filter.push(typed);
            }
            _ => return Wish::Nothing,
        }
        Wish::Ask
    }
}

/// The signals that end it.
struct Ends {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
}

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The exit code of the next one: 128 and its number. Cancel safe.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.hang_up.recv() => 129,
            _ = self.interrupt.recv() => INTERRUPTED_CODE,
        }
    }
}

/// The next key or size. Cancel safe.
async fn next(events: &mut EventStream) -> Result<Event, CliError> {
    match poll_fn(|context| Pin::new(&mut *events).poll_next(context)).await {
        Some(event) => event.map_err(CliError::Output),
        None => Err(CliError::OutputClosed),
    }
}

/// The answer to what was asked; never, when nothing was. Cancel safe: the question stays.
async fn answered(question: &mut Option<Question<'_>>) -> Result<Value, CliError> {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}

/// How often the router is asked.
const INTERVAL: Duration = Duration::from_secs(1);

const PAGE_ROWS: u16 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::Connection;
    use crate::config::Environment;

    fn check(keys: &str, expected: Wish, sort: Sort, filter: &str) {
        let client = Client::new(&Connection::default(), &Environment::default()).unwrap();
        let mut watch = Watch::new(&client, Sort::Rate, "", false);
        let mut wish = Wish::Nothing;
        for key in keys.chars() {
            let code = match key {
                '⏎' => KeyCode::Enter,
                '⎋' => KeyCode::Esc,
                '⌫' => KeyCode::Backspace,
                other => KeyCode::Char(other),
            };
            wish = watch.heed(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        }
        let found = (wish, watch.sort, watch.filter.as_str());
        assert_eq!(found, (expected, sort, filter), "{keys}");
    }

    #[test]
    fn keys_do_what_the_foot_says() {
        check("q", Wish::Leave, Sort::Rate, "");
        check("l", Wish::Ask, Sort::Lag, "");
        check("x", Wish::Ask, Sort::Lost, "");
        check("xr", Wish::Ask, Sort::Rate, "");
        check("/", Wish::Nothing, Sort::Rate, "");
        check("/qrl", Wish::Ask, Sort::Rate, "qrl");
        check("/sx⌫hop⏎", Wish::Nothing, Sort::Rate, "shop");
        check("/shop⏎q", Wish::Leave, Sort::Rate, "shop");
        check("/shop⏎/x⎋", Wish::Ask, Sort::Rate, "shop");
    }
}

//! What is sent at once: written when it is made, and the same bytes at every try.

use bytes::Bytes;
use tracing::warn;

use crate::clock;
use crate::id::{FrameId, Token};
use crate::net::pack;
use crate::sources::ship::ShipSettings;
use crate::sources::ship::book::{Book, Losses};
use crate::sources::ship::frame::Writer;
use crate::sources::ship::line::Item;
use crate::sources::ship::places;
use crate::sources::ship::places::{Mark, Run, last_marks};

/// Lines on their way, with the losses announced in front of them. Holds a secret: no `Debug`.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) id: FrameId,
    /// Octet-counted frames, compressed when `is_gzip`.
    pub(crate) body: Bytes,
    pub(crate) is_gzip: bool,
    /// Frames in the body, notices included.
    pub(crate) frames: u64,
    /// Lines that they were made of.
    pub(crate) lines: u64,
    /// What the notices say.
    pub(crate) told: Losses,
    /// Under whose name it is sent; `None`: the settings say.
    pub(crate) token: Option<Token>,
    /// How far it brings followed files.
    pub(crate) marks: Vec<Mark>,
    /// Lines of followed files whose places are kept: they can be read again, as long as they are there.
    pub(crate) runs: Vec<Run>,
}

impl Batch {
    /// The batch of `items`, all of one token, and of what was not told yet; the latter only under
    /// the settings' own name.
    pub(crate) async fn new(items: &[Item], settings: &ShipSettings, book: &Book) -> Self {
        let token = items.first().and_then(Item::token).cloned();
        let app_name = token.as_ref().map_or(&*settings.app_name, Token::expose);
        let told = match token {
            None => book.take_untold(),
            Some(_) => Losses::default(),
        };
        let mut writer = Writer::new(settings, app_name);
        writer.announce(told, clock::wall());
        for item in items {
            writer.body(&item.body);
        }
        let (body, frames) = writer.finish();
        let mut batch = Self {
            id: FrameId::next(),
            body: Bytes::from(body),
            is_gzip: false,
            frames,
            lines: u64::try_from(items.len()).unwrap_or(u64::MAX),
            told,
            token,
            marks: last_marks(items.iter().filter_map(|item| item.mark)),
            runs: places::runs(items.iter().filter_map(|item| item.mark)),
        };
        if settings.is_gzip {
            batch.compress().await;
        }
        batch
    }

    async fn compress(&mut self) {
        match pack::on_fit_thread(&self.body, pack::gzip).await {
            Ok(packed) => {
                self.body = Bytes::from(packed);
                self.is_gzip = true;
            }
            // The body is as it was, and its header says so: it goes out plain.
            Err(error) => warn!(%error, "cannot compress"),
        }
    }
}

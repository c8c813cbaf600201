//! How many requests of one HTTP/2 connection are open: one that has none for long is given up.
//!
//! A request is open from its head to the end of its answer's body. A peer that only answers pings
//! keeps nothing open.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::watch;

/// The open requests of one connection; clones count the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    open_count: watch::Sender<usize>,
}

/// One of them; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    open_count: watch::Sender<usize>,
}

impl Requests {
    /// One more.
    pub(crate) fn enter(&self) -> OpenRequest {
        self.open_count.send_modify(|count| *count += 1);
        OpenRequest {
            open_count: self.open_count.clone(),
        }
    }

    /// Ends when none has been open for `time`. Cancel safe.
    pub(crate) async fn idle_for(&self, time: Duration) {
        let mut open_count = self.open_count.subscribe();
        loop {
            let is_idle = *open_count.borrow_and_update() == 0;
            // Ends also after a request that came and went unseen, which begins the time anew.
            let changed = open_count.changed();
            if is_idle {
                if tokio::time::timeout(time, changed).await.is_err() {
                    return;
                }
            } else if changed.await.is_err() {
                return; // Cannot be: this is one of its senders.
            }
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.open_count.send_modify(|count| *count -= 1);
    }
}

impl OpenRequest {
    /// The same answer; the request is open until its body has ended or is dropped.
    pub(crate) fn until_end_of(self, answer: Response) -> Response {
        answer.map(|body| Body::new(OpenBody { body, _open: self }))
    }
}

/// An answer's body with the request that it belongs to.
struct OpenBody {
    body: Body,
    _open: OpenRequest,
}

impl HttpBody for OpenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn idle_is_none_open_for_the_whole_time() {
        let requests = Requests::default();
        let half = async || tokio::time::timeout(TIME / 2, requests.idle_for(TIME)).await;
        assert!(half().await.is_err());
        let answer = requests
            .enter()
            .until_end_of(Response::new(Body::from("text")));
        assert_eq!(answer.body().size_hint().exact(), Some(4));
        let long = tokio::time::timeout(TIME * 9, requests.idle_for(TIME)).await;
        assert!(long.is_err(), "its body is not sent yet");
        let mut idle = std::pin::pin!(requests.idle_for(TIME));
        assert!(tokio::time::timeout(TIME, idle.as_mut()).await.is_err());
        drop(answer);
        assert!(tokio::time::timeout(TIME / 2, idle.as_mut()).await.is_err());
        drop(requests.enter());
        assert!(
            tokio::time::timeout(TIME * 3 / 4, idle.as_mut())
                .await
                .is_err(),
            "a short request begins the time anew"
        );
        idle.await;
    }
}

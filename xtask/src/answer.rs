//! The body of an answer: the bytes of a file, all that are asked for, or fewer where the
//! connection is cut on purpose.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// How long after the last bytes the connection is cut: a reset makes a browser throw away what it
/// has not read yet.
const ARRIVING: Duration = Duration::from_millis(500);

/// Bytes of one frame where a pace is kept.
const PIECE: usize = 64 << 10;

/// Bytes that are sent, out of those that are announced.
pub struct Answer {
    /// Taken when they are sent.
    bytes: Bytes,
    /// What is sent over and over, where there is no end.
    again: Option<Bytes>,
    /// What `Content-Length` says is still to come.
    announced: u64,
    /// What follows when fewer bytes are sent than announced.
    then: Then,
    /// Bytes a second at the most, and when the next may follow.
    pace: Option<(f64, Instant)>,
}

/// What happens to a connection whose announced bytes do not all come.
enum Then {
    /// It is cut, at this time once the last bytes are on their way.
    Cut(Option<Instant>),
    /// It stays open, and silent.
    Hold,
}

impl Answer {
    /// Sends all of these.
    pub fn whole(bytes: Bytes) -> Answer {
        Answer {
            announced: bytes.len() as u64,
            bytes,
            again: None,
            then: Then::Cut(None),
            pace: None,
        }
    }

    /// Sends one byte over and over, until the browser goes away.
    pub fn endless(byte: u8) -> Answer {
        let piece = Bytes::from(vec![byte; PIECE]);
        Answer {
            again: Some(piece),
            ..Answer::whole(Bytes::new())
        }
    }

    /// The same, no faster than so many bytes a second.
    pub fn paced(self, per_second: f64) -> Answer {
        let pace = Some((per_second, Instant::now()));
        Answer { pace, ..self }
    }

    /// Announces all of these, sends the first ones and cuts the connection.
    pub fn cut(bytes: Bytes, after: usize) -> Answer {
        Answer::first(bytes, after, Then::Cut(None))
    }

    /// Announces all of these, sends the first ones and then nothing, as a server that has gone to
    /// sleep.
    pub fn hold(bytes: Bytes, after: usize) -> Answer {
        Answer::first(bytes, after, Then::Hold)
    }

    fn first(bytes: Bytes, after: usize, then: Then) -> Answer {
        Answer {
            announced: bytes.len() as u64,
            bytes: bytes.slice(..after.min(bytes.len())),
            again: None,
            then,
            pace: None,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(piece) = &self.again {
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        let now = Instant::now();
        let mut bytes = std::mem::take(&mut self.bytes);
        if let Some((per_second, due)) = self.pace
            && !bytes.is_empty()
        {
            if now < due {
                self.bytes = bytes;
                return later(context, due - now);
            }
            self.bytes = bytes.split_off(PIECE.min(bytes.len()));
            let takes = Duration::from_secs_f64(bytes.len() as f64 / per_second);
            self.pace = Some((per_second, due.max(now) + takes));
        }
        if !bytes.is_empty() {
            self.announced -= bytes.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.announced == 0 {
            return Poll::Ready(None);
        }
        let Then::Cut(cut_at) = &mut self.then else {
            return Poll::Pending; // until the browser goes away
        };
        let cut_at = *cut_at.get_or_insert(now + ARRIVING);
        if now < cut_at {
            return later(context, cut_at - now);
        }
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.announced == 0 && self.again.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.again {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.announced),
        }
    }
}

/// Has whoever polled come back after so long.
fn later<T>(context: &Context<'_>, after: Duration) -> Poll<T> {
    let waker = context.waker().clone();
    std::thread::spawn(move || {
        std::thread::sleep(after);
        waker.wake();
    });
    Poll::Pending
}

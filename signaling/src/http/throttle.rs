//! How fast one connection may send bytes, whatever they mean.
//!
//! Frames are counted where they are whole. Beneath them a peer can send what never becomes one, such as empty
//! continuations without an end, which costs parsing all the same; so the bytes have a limit too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes a second in the long run. A client in a call sends some hundred; at six bytes a frame this is some 40 000 of the
/// smallest frames, less than a hundredth of a CPU.
const BYTES_PER_SECOND: u32 = 256 * 1024;

/// What may come at once, as time at that rate: two of the largest frames.
const BURST: Duration = Duration::from_secs(2);

/// A stream that is not read faster than a client has reason to send. What comes faster waits in the kernel, which slows the
/// sender down; nothing is lost.
pub(super) struct Throttled<S> {
    stream: S,
    budget: Budget,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Throttled<S> {
    /// Throttles reading from `stream`.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, budget: Budget { spent_until: Instant::now() }, pause: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Throttled<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let len_before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let until = self.budget.spend(buffer.filled().len() - len_before, Instant::now());
        self.pause = until.map(|until| Box::pin(sleep_until(until)));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Throttled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The bytes that were read, as the time that they take at the rate.
struct Budget {
    spent_until: Instant,
}

impl Budget {
    /// Counts `len` bytes; the time to wait for before the next, where the burst is used up.
    fn spend(&mut self, len: usize, now: Instant) -> Option<Instant> {
        self.spent_until =
            self.spent_until.max(now) + Duration::from_secs(1).mul_f64(len as f64 / f64::from(BYTES_PER_SECOND));
        let until = self.spent_until - BURST;
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SECOND_LEN: usize = BYTES_PER_SECOND as usize;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_rate_and_nothing_is_lost() {
        let (mut peer, stream) = duplex(64 * 1024);
        let sent: Vec<u8> = (0..5 * SECOND_LEN).map(|index| (index % 251) as u8).collect();
        let expected = sent.clone();
        let began_at = Instant::now();
        let sender = tokio::spawn(async move { peer.write_all(&sent).await.map(|()| peer) });
        let mut stream = Throttled::new(stream);
        let mut received = vec![0; expected.len()];
        stream.read_exact(&mut received[..SECOND_LEN]).await.unwrap();
        assert_eq!(began_at.elapsed(), Duration::ZERO);
        stream.read_exact(&mut received[SECOND_LEN..]).await.unwrap();
        let took = began_at.elapsed();
        assert!(received == expected);
        // The last piece is not paid for before it is read.
        assert!((2.7..=3.0).contains(&took.as_secs_f64()), "{took:?} for five seconds' worth with a burst of two");
        drop(sender.await.unwrap());
    }

    #[test]
    fn a_rest_gives_the_burst_back_but_no_more() {
        let now = Instant::now();
        let mut budget = Budget { spent_until: now };
        assert_eq!(budget.spend(2 * SECOND_LEN, now), None);
        assert!(budget.spend(SECOND_LEN, now).is_some());
        let rested = now + Duration::from_secs(60);
        assert_eq!(budget.spend(2 * SECOND_LEN, rested), None);
        assert!(budget.spend(SECOND_LEN, rested).is_some());
    }
}

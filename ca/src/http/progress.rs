//! A stream with a deadline for standing still, and a slowest pace for taking what is written to it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How slow a peer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Something moves within this time, in either direction.
    pub(super) patience: Duration,
    /// Octets a second that a peer takes at least, on the average since it fell behind, when the patience is over.
    pub(super) slowest: u64,
}

/// A stream that fails when nothing moves for a time, or when its peer takes what is written to it more slowly than at the
/// slowest pace: hyper has no deadline for a peer that doesn't read its answers, or reads them octet by octet.
pub(super) struct Progress<S> {
    stream: S,
    pace: Pace,
    moved: Instant,
    behind: Option<Behind>,
    /// Set anew only when it is over: something moves far more often than that.
    deadline: Pin<Box<Sleep>>,
}

/// A peer that hasn't taken yet all that was to be written.
#[derive(Clone, Copy, Debug)]
struct Behind {
    since: Instant,
    /// Octets that it took since then.
    taken: u64,
}

impl Behind {
    fn due(self, pace: Pace) -> Instant {
        let earned = Duration::from_millis(self.taken.saturating_mul(1000) / pace.slowest.max(1));
        self.since + pace.patience + earned
    }
}

impl<S> Progress<S> {
    /// Fails below this pace.
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        let deadline = Box::pin(sleep(pace.patience));
        Self { stream, pace, moved: Instant::now(), behind: None, deadline }
    }

    /// When the patience is over, unless something moves until then. It never comes nearer.
    fn due(&self) -> Instant {
        let stalled = self.moved + self.pace.patience;
        self.behind.map_or(stalled, |behind| stalled.min(behind.due(self.pace)))
    }

    fn judge_write(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match (&result, &mut self.behind) {
            (Poll::Pending, behind) => {
                behind.get_or_insert(Behind { since: Instant::now(), taken: 0 });
            }
            (Poll::Ready(Ok(octets)), Some(behind)) => behind.taken += *octets as u64,
            (Poll::Ready(_), _) => {}
        }
        self.judge(cx, result)
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.moved = Instant::now();
            return result;
        }
        loop {
            ready!(self.deadline.as_mut().poll(cx));
            let due = self.due();
            if due <= Instant::now() {
                let slow =
                    io::Error::new(io::ErrorKind::TimedOut, "nothing moved for too long, or too little");
                return Poll::Ready(Err(slow));
            }
            self.deadline.as_mut().reset(due);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.judge(cx, result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.judge_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Who flushes has written all that there was: the peer has caught up.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.behind = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_stream_may_stand_still_for_so_long_since_it_moved_last() {
        let (mut here, there) = duplex(64);
        let patience = Duration::from_millis(50);
        let mut there = Progress::new(there, Pace { patience, slowest: 1 });
        // The deadline of a stream that moved meanwhile is over.
        there.deadline = Box::pin(sleep(Duration::ZERO));
        here.write_all(b"x").await.expect("room");
        let began = Instant::now();
        assert_eq!(there.read_u8().await.expect("it moved"), b'x');
        let error = there.read_u8().await.expect_err("nothing came");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= patience);
    }

    /// A peer that takes an octet now and then moves all the time.
    #[tokio::test]
    async fn a_peer_that_is_behind_takes_what_it_is_sent_fast_enough() {
        let (mut here, there) = duplex(64);
        let patience = Duration::from_millis(50);
        let mut there = Progress::new(there, Pace { patience, slowest: 1_000_000 });
        let reading = tokio::spawn(async move { while here.read_u8().await.is_ok() {} });
        let began = Instant::now();
        let error = loop {
            if let Err(error) = there.write_all(&[0; 1000]).await {
                break error;
            }
            // As much as is taken while this sleeps is far less than the pace asks for.
            sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= patience);
        drop(there);
        reading.await.expect("it ended");
    }

    #[tokio::test]
    async fn what_a_peer_takes_earns_it_time_until_it_has_caught_up() {
        let pace = Pace { patience: Duration::from_secs(10), slowest: 100 };
        let since = Instant::now();
        let due = |taken| Behind { since, taken }.due(pace).duration_since(since);
        assert_eq!((due(0), due(250)), (Duration::from_secs(10), Duration::from_millis(12_500)));
        assert!(due(u64::MAX) > Duration::from_hours(24));

        let (mut here, there) = duplex(4);
        let mut there = Progress::new(there, pace);
        let mut octets = [0; 8];
        let (written, read) = tokio::join!(there.write_all(b"12345678"), here.read_exact(&mut octets));
        written.expect("written");
        read.expect("read");
        assert_eq!(there.behind.map(|behind| behind.taken), Some(4), "the last four waited");
        there.flush().await.expect("flushed");
        assert!(there.behind.is_none());
    }
}

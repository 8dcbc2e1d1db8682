//! A stream with a deadline for standing still.

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

/// A stream that fails when nothing moves in either direction for a time: hyper has no deadline for a peer that
/// doesn't read its answers.
pub(super) struct Progress<S> {
    stream: S,
    patience: Duration,
    moved: Instant,
    /// Set anew only when it is over: something moves far more often than that.
    deadline: Pin<Box<Sleep>>,
}

impl<S> Progress<S> {
    /// Fails when nothing moves for `patience`.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, moved: Instant::now(), deadline: Box::pin(sleep(patience)) }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.moved = Instant::now();
            return result;
        }
        loop {
            ready!(self.deadline.as_mut().poll(cx));
            let due = self.moved + self.patience;
            if due <= Instant::now() {
                let stalled = io::Error::new(io::ErrorKind::TimedOut, "nothing moved for too long");
                return Poll::Ready(Err(stalled));
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
        self.judge(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.judge(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
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
        let mut there = Progress::new(there, patience);
        // The deadline of a stream that moved meanwhile is over.
        there.deadline = Box::pin(sleep(Duration::ZERO));
        here.write_all(b"x").await.expect("room");
        let began = Instant::now();
        assert_eq!(there.read_u8().await.expect("it moved"), b'x');
        let error = there.read_u8().await.expect_err("nothing came");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= patience);
    }
}

//! What a process writes, kept as it comes, so that a test can wait for a line and a failure can show it all.

use std::fmt;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::watch;

/// Both streams of a process, over all its restarts.
#[derive(Clone, Debug)]
pub(super) struct Output {
    stdout: Stream,
    stderr: Stream,
}

#[derive(Clone, Debug)]
struct Stream(Arc<watch::Sender<Text>>);

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    /// Where the output of the latest start begins.
    latest: usize,
    ended: bool,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { stdout: Stream::new(), stderr: Stream::new() }
    }

    /// Keeps what these say until they end.
    pub(super) fn follow(&self, stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) {
        self.stdout.follow(stdout.expect("standard output is piped"));
        self.stderr.follow(stderr.expect("standard error is piped"));
    }

    /// From here on another process writes, and only its lines are waited for.
    pub(super) fn begin_again(&self) {
        self.stdout.begin_again();
        self.stderr.begin_again();
    }

    /// Waits until both streams have been read to their end.
    pub(super) async fn ended(&self) {
        self.stdout.ended().await;
        self.stderr.ended().await;
    }

    pub(super) fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub(super) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The first whole line with `part` in it; `None` when the stream ends without one.
    pub(super) async fn stdout_line(&self, part: &str) -> Option<String> {
        self.stdout.line(part).await
    }

    /// As [`Output::stdout_line`].
    pub(super) async fn stderr_line(&self, part: &str) -> Option<String> {
        self.stderr.line(part).await
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in stream.text().lines() {
                writeln!(f, "{name}: {line}")?;
            }
        }
        Ok(())
    }
}

impl Stream {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Text::default())))
    }

    fn begin_again(&self) {
        self.0.send_modify(|text| {
            text.latest = text.bytes.len();
            text.ended = false;
        });
    }

    fn follow(&self, mut source: impl AsyncRead + Unpin + Send + 'static) {
        let text = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut buffer = vec![0; 8192];
            // A stream that cannot be read any more has ended, for whatever reason.
            while let Ok(len @ 1..) = source.read(&mut buffer).await {
                text.send_modify(|text| text.bytes.extend_from_slice(&buffer[..len]));
            }
            text.send_modify(|text| text.ended = true);
        });
    }

    async fn ended(&self) {
        let ended = self.0.subscribe().wait_for(|text| text.ended).await.map(drop);
        ended.expect("the sender lives in this output");
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow().bytes).into_owned()
    }

    async fn line(&self, part: &str) -> Option<String> {
        let mut receiver = self.0.subscribe();
        let text = receiver.wait_for(|text| text.ended || text.line(part).is_some()).await;
        text.expect("the sender lives in this output").line(part)
    }
}

impl Text {
    fn line(&self, part: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes[self.latest..]);
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole.map(str::to_owned).find(|line| line.contains(part))
    }
}

//! One client's connection: its requests in turn, each with the fate that the script gives it.
//!
//! The server's connection mirrors the client's: opened for its first request, kept as long as both keep it, and
//! when the server closes it between two requests, the client's is closed too, as it would be without a proxy.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::account::Happened;
use super::fault::{Cut, Exchange, Fault};
use super::wire::{Answer, Request, Wire};
use super::{Gate, Shared};

/// Whether the client's connection goes on after an exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    KeepOpen,
    Close,
    Reset,
}

pub(super) struct Connection {
    shared: Arc<Shared>,
    number: u64,
    client: Wire,
    server: Option<Wire>,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, number: u64, client: TcpStream) -> Self {
        Self { shared, number, client: Wire::new(client), server: None }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        // Small answers must not wait for Nagle's algorithm; a socket that refuses this is slower, not wrong.
        drop(self.client.stream.set_nodelay(true));
        while self.another_begins().await {
            // A request that cannot be read has no number and no fate: the connection ends.
            let Ok(Some(request)) = self.client.request().await else { return };
            match self.exchange(request).await {
                Next::KeepOpen => {}
                Next::Close => return,
                Next::Reset => {
                    // Lingering for no time makes the close below a reset (RST).
                    drop(self.client.stream.set_zero_linger());
                    return;
                }
            }
        }
    }

    /// Waits for the first byte of a request; false when either side has closed.
    async fn another_begins(&mut self) -> bool {
        let Some(server) = &mut self.server else {
            return self.client.begins().await.unwrap_or(false);
        };
        tokio::select! {
            biased;
            begins = self.client.begins() => begins.unwrap_or(false),
            // Between two exchanges the server has nothing to say, so whatever comes is its farewell.
            _ = server.begins() => false,
        }
    }

    async fn exchange(&mut self, request: Request) -> Next {
        let (exchange, fault) = self.shared.begin(self.number, &request);
        match fault {
            Fault::Pass => self.forward_and_deliver(&exchange, &request).await,
            Fault::LoseRequest => {
                self.note(&exchange, Happened::RequestLost);
                Next::Reset
            }
            Fault::LoseAnswer => match self.forward(&exchange, &request).await {
                Ok(_) => {
                    self.note(&exchange, Happened::AnswerLost);
                    Next::Reset
                }
                Err(next) => next,
            },
            Fault::CutAnswer(cut) => match self.forward(&exchange, &request).await {
                Ok(answer) => self.deliver_part(&exchange, &answer, cut).await,
                Err(next) => next,
            },
            Fault::HoldRequest(gate) => {
                self.hold(&exchange, &gate).await;
                self.forward_and_deliver(&exchange, &request).await
            }
            Fault::HoldAnswer(gate) => match self.forward(&exchange, &request).await {
                Ok(answer) => {
                    self.hold(&exchange, &gate).await;
                    self.deliver(&exchange, &request, &answer).await
                }
                Err(next) => next,
            },
            Fault::Delay(delay) => {
                self.note(&exchange, Happened::Held);
                tokio::time::sleep(delay).await;
                self.note(&exchange, Happened::Released);
                self.forward_and_deliver(&exchange, &request).await
            }
            Fault::Duplicate => self.duplicate(&exchange, &request).await,
            Fault::Repeat(gate) => self.repeat(&exchange, request, gate).await,
            Fault::Answer(own) => {
                let written = self.client.stream.write_all(&own.to_bytes()).await;
                self.note(&exchange, Happened::MadeUp { status: own.status });
                if written.is_ok() && request.keep_alive { Next::KeepOpen } else { Next::Close }
            }
        }
    }

    fn note(&self, exchange: &Arc<Exchange>, happened: Happened) {
        self.shared.note(exchange, happened);
    }

    async fn hold(&self, exchange: &Arc<Exchange>, gate: &Gate) {
        self.note(exchange, Happened::Held);
        gate.pass().await;
        self.note(exchange, Happened::Released);
    }

    async fn forward_and_deliver(&mut self, exchange: &Arc<Exchange>, request: &Request) -> Next {
        match self.forward(exchange, request).await {
            Ok(answer) => self.deliver(exchange, request, &answer).await,
            Err(next) => next,
        }
    }

    /// Sends the request to the server and waits for its whole answer.
    async fn forward(&mut self, exchange: &Arc<Exchange>, request: &Request) -> Result<Answer, Next> {
        let answered = async {
            let mut server = match self.server.take() {
                Some(server) => server,
                None => self.shared.connect().await?,
            };
            let answer = ask(&mut server, request).await?;
            self.server = answer.keep_alive.then_some(server);
            io::Result::Ok(answer)
        };
        if let Ok(answer) = answered.await {
            self.note(exchange, Happened::Answered { status: answer.status, bytes: answer.bytes.len() });
            Ok(answer)
        } else {
            self.note(exchange, Happened::ServerAway);
            Err(Next::Reset)
        }
    }

    async fn deliver(&mut self, exchange: &Arc<Exchange>, request: &Request, answer: &Answer) -> Next {
        if self.client.stream.write_all(&answer.bytes).await.is_err() {
            self.note(exchange, Happened::ClientGone);
            return Next::Close;
        }
        self.note(exchange, Happened::Delivered { status: answer.status });
        if request.keep_alive && answer.keep_alive { Next::KeepOpen } else { Next::Close }
    }

    async fn deliver_part(&mut self, exchange: &Arc<Exchange>, answer: &Answer, cut: Cut) -> Next {
        let after_bytes = cut.position(answer.bytes.len());
        // A reset could overtake the bytes before it; the end of the stream cannot, so the cut is exact.
        let written = self.client.stream.write_all(&answer.bytes[..after_bytes]).await;
        let happened =
            if written.is_ok() { Happened::AnswerCut { after_bytes } } else { Happened::ClientGone };
        self.note(exchange, happened);
        Next::Close
    }

    async fn duplicate(&mut self, exchange: &Arc<Exchange>, request: &Request) -> Next {
        let shared = Arc::clone(&self.shared);
        let copy = async {
            let mut server = shared.connect().await?;
            ask(&mut server, request).await
        };
        let (first, second) = tokio::join!(self.forward(exchange, request), copy);
        if second.is_ok() {
            self.note(exchange, Happened::Duplicated);
        }
        match first {
            Ok(answer) => self.deliver(exchange, request, &answer).await,
            Err(next) => next,
        }
    }

    async fn repeat(&mut self, exchange: &Arc<Exchange>, request: Request, gate: Gate) -> Next {
        let next = self.forward_and_deliver(exchange, &request).await;
        let (shared, exchange) = (Arc::clone(&self.shared), Arc::clone(exchange));
        // It outlives this connection, as a packet that took the long way does.
        self.shared.background(async move {
            shared.note(&exchange, Happened::Held);
            gate.pass().await;
            shared.note(&exchange, Happened::Released);
            let copy = async {
                let mut server = shared.connect().await?;
                ask(&mut server, &request).await
            };
            let happened = if copy.await.is_ok() { Happened::Duplicated } else { Happened::ServerAway };
            shared.note(&exchange, happened);
        });
        next
    }
}

async fn ask(server: &mut Wire, request: &Request) -> io::Result<Answer> {
    server.stream.write_all(&request.bytes).await?;
    server.answer(&request.method).await
}

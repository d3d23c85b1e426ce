//! Measures durable refreshes of a running server: closed loop, keep-alive, one session a connection slot.
//!
//! ```console
//! $ taskset -c 0 target/release/perennial dev --no-demo-traffic --data /tmp/load &
//! $ taskset -c 1 cargo run --release -p perennial --example refresh_load -- http://localhost:8080 PID
//! ```
//!
//! In one run it measures three things, so that their ratios hold on a noisy machine: `/healthz` (HTTP alone), a
//! forged refresh token (HTTP, the form, one HMAC) and a refresh with rotation (all of it). With the server's PID
//! it also reads how much CPU each request cost.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use perennial_client::login::{Login, LoginRequest};
use perennial_client::{Credentials, Timeouts};
use perennial_testkit::http::CookieClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failed = Box<dyn Error + Send + Sync>;

const CONNECTIONS: usize = 16;
const SESSIONS_PER_CONNECTION: usize = 8;
const MEASURED: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let issuer = arguments.next().ok_or("usage: refresh_load ISSUER [PID of the server]")?;
    let pid = arguments.next();
    let address = issuer.trim_start_matches("http://").to_owned();
    let tokens = signed_in(&issuer).await?;
    println!("{} sessions, {CONNECTIONS} connections, {} s each", tokens.len(), MEASURED.as_secs());
    println!("{:<28}{:>12}{:>10}{:>10}{:>16}", "", "per second", "p50 ms", "p99 ms", "CPU µs each");
    let health = measure(&address, pid.as_deref(), |_| Work::Health).await?;
    health.print("HTTP alone (/healthz)");
    let forged = measure(&address, pid.as_deref(), |_| Work::Forged).await?;
    forged.print("forged refresh token");
    let refresh = measure(&address, pid.as_deref(), |slot| {
        let share = tokens[slot * SESSIONS_PER_CONNECTION..][..SESSIONS_PER_CONNECTION].to_vec();
        Work::Refresh { tokens: share, next: 0 }
    });
    refresh.await?.print("refresh with rotation");
    Ok(())
}

/// As many sessions as are needed; the browser is signed in after the first.
async fn signed_in(issuer: &str) -> Result<Vec<String>, Failed> {
    let mut browser = CookieClient::new();
    let mut tokens = Vec::new();
    for _ in 0..CONNECTIONS * SESSIONS_PER_CONNECTION {
        let login = Login::start(LoginRequest {
            issuer: issuer.to_owned(),
            client_id: "demo-web".to_owned(),
            scope: "profile offline_access".to_owned(),
            continues: None,
            timeouts: Timeouts::default(),
        });
        let login = login.await?;
        let request = login.authorization_url().clone();
        let redirect_uri =
            request.query_pairs().find(|(name, _)| name == "redirect_uri").ok_or("no redirect_uri")?.1;
        let person = async {
            let back =
                browser.sign_in(request.as_str(), "ada", "correct horse battery staple", &redirect_uri);
            reqwest::get(back.await?).await?;
            Ok::<_, Failed>(())
        };
        let finished = async { Ok(login.finish(Duration::from_secs(30)).await?) };
        let (credentials, ()): (Credentials, ()) = tokio::try_join!(finished, person)?;
        let token = credentials.refresh_token().ok_or("no refresh token")?;
        tokens.push(token.expose().to_owned());
    }
    Ok(tokens)
}

enum Work {
    Health,
    Forged,
    Refresh { tokens: Vec<String>, next: usize },
}

impl Work {
    fn request(&self, host: &str, number: u64) -> String {
        match self {
            Self::Health => format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            Self::Forged => {
                let token = format!("prn_rt_AQEB{}", "A".repeat(68));
                token_request(host, number, &token)
            }
            Self::Refresh { tokens, next } => token_request(host, number, &tokens[*next]),
        }
    }

    /// Takes what the answer says; an answer that is none of what was asked for ends the measurement.
    fn take(&mut self, answer: &str) -> Result<(), Failed> {
        match self {
            Self::Health if answer.contains(" 200 ") => Ok(()),
            Self::Forged if answer.contains("invalid_grant") => Ok(()),
            Self::Refresh { tokens, next } => {
                let (_, rest) = answer.split_once("\"refresh_token\":\"").ok_or_else(|| answer.to_owned())?;
                let token = rest.split('"').next().ok_or("a token that does not end")?;
                token.clone_into(&mut tokens[*next]);
                *next = (*next + 1) % tokens.len();
                Ok(())
            }
            Self::Health | Self::Forged => Err(answer.to_owned().into()),
        }
    }
}

fn token_request(host: &str, number: u64, token: &str) -> String {
    let body = format!("grant_type=refresh_token&client_id=demo-web&refresh_token={token}");
    format!(
        "POST /token HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         idempotency-key: \"retry-key-of-the-load-{number:020}\"\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

struct Measured {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: Option<f64>,
}

impl Measured {
    fn print(&self, what: &str) {
        let cpu = self.cpu_us.map_or("-".to_owned(), |us| format!("{us:.0}"));
        println!("{what:<28}{:>12.0}{:>10.2}{:>10.2}{cpu:>16}", self.per_second, self.p50_ms, self.p99_ms);
    }
}

async fn measure(address: &str, pid: Option<&str>, work: impl Fn(usize) -> Work) -> Result<Measured, Failed> {
    let numbers = Arc::new(AtomicU64::new(1));
    let before = pid.map(cpu_seconds).transpose()?;
    let started = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for slot in 0..CONNECTIONS {
        loops.spawn(closed_loop(address.to_owned(), work(slot), started + MEASURED, Arc::clone(&numbers)));
    }
    let mut took = Vec::new();
    while let Some(finished) = loops.join_next().await {
        took.extend(finished??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let after = pid.map(cpu_seconds).transpose()?;
    took.sort_unstable();
    let count = took.len();
    let at = |share: f64| {
        // Only an index into what was measured; both casts stay far within range.
        #[expect(clippy::cast_possible_truncation, reason = "an index below the count")]
        let place = (share * count as f64) as usize;
        took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    let cpu_us = before.zip(after).map(|(before, after)| (after - before) * 1e6 / count as f64);
    Ok(Measured { per_second: count as f64 / elapsed, p50_ms: at(0.5), p99_ms: at(0.99), cpu_us })
}

async fn closed_loop(
    address: String,
    mut work: Work,
    until: Instant,
    numbers: Arc<AtomicU64>,
) -> Result<Vec<Duration>, Failed> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let mut took = Vec::new();
    let mut received = Vec::new();
    while Instant::now() < until {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let asked = Instant::now();
        stream.write_all(work.request(&address, number).as_bytes()).await?;
        received.clear();
        loop {
            if stream.read_buf(&mut received).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if is_whole(&received) {
                break;
            }
        }
        took.push(asked.elapsed());
        work.take(&String::from_utf8_lossy(&received))?;
    }
    Ok(took)
}

/// Whether head and body are here; every answer measured has a `content-length`.
fn is_whole(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}

/// User and system time of a process (proc(5), fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds(pid: &str) -> Result<f64, Failed> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("an odd /proc/PID/stat")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

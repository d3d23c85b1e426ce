//! `perennial dev`: in one process tree the server, a protected sample API, and two fleets in the same bad
//! network: devices with the Perennial client, and beside them a plain client under strict rotation.
//!
//! - `demo`: the account, the clients and the policy (access tokens of 20 seconds);
//! - `network`: the faults, through the same proxy that the tests use;
//! - `device` and `plain`: what the two kinds of devices do;
//! - `tally`: what happened, counted and told; `show`: the live account and the summary;
//! - `sample_api`: the API behind a verifier, to be copied.

mod demo;
mod device;
mod network;
mod plain;
mod sample_api;
mod show;
mod sign_in;
mod tally;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use perennial_server::run::{Running, start};
use perennial_testkit::Seed;
use perennial_verify::Verifier;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::commands::{Failure, output};
use network::Network;
use show::Scene;
use tally::{Side, Tally};

/// What `perennial dev` was asked to do.
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) data: Option<PathBuf>,
    pub(crate) run_for: Option<Duration>,
    pub(crate) devices: u16,
    pub(crate) demo_traffic: bool,
    pub(crate) seed: Option<String>,
}

/// Runs it until it is stopped, or for as long as was asked.
///
/// # Errors
/// Something did not start; or, with a duration, the Perennial client was interrupted (exit code 1).
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let seed = seed(options.seed.as_deref())?;
    let ending = Ending::listen()?;
    let tally = Arc::new(Tally::default());
    tally::listen_to_the_server(&tally);
    let temporary = match &options.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| {
            Failure::new(format!("no temporary folder can be made ({error}): give one with --data"))
        })?),
    };
    let folder = options.data.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path));
    let folder = folder.ok_or_else(|| Failure::new("no data folder: give one with --data"))?;
    let server = start(demo::config(folder, options.listen)?)
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    let outcome = with_server(&server, &options, ending, seed, &tally).await;
    server.shutdown().await;
    outcome
}

async fn with_server(
    server: &Running,
    options: &Options,
    ending: Ending,
    seed: Seed,
    tally: &Arc<Tally>,
) -> Result<ExitCode, Failure> {
    demo::add_account(server).await?;
    let (api, serving) = serve_sample_api(server.issuer()).await?;
    let mut work = JoinSet::new();
    work.spawn(serving);
    let scene = Scene { issuer: Arc::clone(server.issuer()), api, seed, data: options.data.clone() };
    if !options.demo_traffic {
        output::line(scene.welcome())?;
        output::line(format_args!("ready {}", server.issuer()))?;
        ending.after(options.run_for).await;
        return Ok(ExitCode::SUCCESS);
    }
    let kept = Network::before(server.addr(), api, seed).await?;
    let plain = Network::before(server.addr(), api, seed).await?;
    for number in 1..=options.devices {
        let place = device::Place { issuer: Arc::clone(server.issuer()), network: kept.addresses(), number };
        work.spawn(device::stay_signed_in(place, Arc::clone(tally)));
        let place = device::Place { issuer: Arc::clone(server.issuer()), network: plain.addresses(), number };
        work.spawn(plain::muddle_through(place, Arc::clone(tally)));
    }
    output::line(scene.welcome())?;
    output::line(format_args!("ready {}", server.issuer()))?;
    tokio::select! {
        () = show::live(tally, &kept, &plain) => {}
        () = ending.after(options.run_for) => {}
    }
    work.shutdown().await;
    output::line(show::summary(tally, &kept, &plain))?;
    let interrupted = tally.side(Side::Perennial).interruptions;
    let nothing_done = tally.side(Side::Perennial).calls == 0;
    if options.run_for.is_some() && (interrupted > 0 || nothing_done) {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn seed(given: Option<&str>) -> Result<Seed, Failure> {
    match given {
        None => Ok(Seed::fresh()),
        Some(text) => Seed::parse(text).ok_or_else(|| {
            Failure::new(format!("`{text}` is no seed: give a number, or 0x and hexadecimal digits"))
                .with_code(2)
        }),
    }
}

async fn serve_sample_api(
    issuer: &str,
) -> Result<(SocketAddr, impl Future<Output = ()> + Send + use<>), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(format!("the sample API cannot start: {error}"));
    let verifier = Verifier::discover(issuer).audience(issuer).build().map_err(|error| failed(&error))?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let router = sample_api::router(&verifier);
    let serving = async move {
        // It ends with the process; until then axum's accept loop does not return.
        let _ = axum::serve(listener, router).await;
    };
    Ok((address, serving))
}

/// The signals that end it, heard from the moment that this exists: before `ready` tells anybody to send one.
struct Ending {
    interrupted: Signal,
    terminated: Signal,
}

impl Ending {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("cannot take signals ({error}): try again")))
        };
        Ok(Self {
            interrupted: listen(SignalKind::interrupt())?,
            terminated: listen(SignalKind::terminate())?,
        })
    }

    /// Returns after `run_for`, or when somebody stops the process.
    async fn after(mut self, run_for: Option<Duration>) {
        let time_is_up = async {
            match run_for {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time_is_up => {}
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
        }
    }
}

//! `perennial dev`: the whole loop on this machine, with a client that stays signed in through a bad network.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::profile::{block_on, parse_duration};
use crate::dev::{self, Options};

/// Run everything on this machine: server, demo account, sample API, and a client in a bad network.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 with --for when the Perennial client was never interrupted, else 1.")]
pub(crate) struct DevArgs {
    /// Where the server listens; port 0 takes any free one.
    #[arg(long, env = "PERENNIAL_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Keep the data here, and find it again next time; without it a temporary folder is used.
    #[arg(long, env = "PERENNIAL_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Stop after this long with a summary.
    #[arg(long = "for", value_parser = parse_duration, value_name = "DURATION")]
    run_for: Option<Duration>,
    /// How many devices of each kind work at the same time.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100), value_name = "N")]
    devices: u16,
    /// Only the server, the demo account and clients, and the sample API; no clients of our own.
    #[arg(long, conflicts_with = "run_for")]
    no_demo_traffic: bool,
    /// The seed of the network's faults, to see the same ones again.
    #[arg(long, env = "PERENNIAL_SEED", value_name = "SEED")]
    seed: Option<String>,
}

/// Runs it until it is stopped, or for as long as was asked.
pub(crate) fn run(args: DevArgs) -> Result<ExitCode, Failure> {
    block_on(dev::run(Options {
        listen: args.listen,
        data: args.data,
        run_for: args.run_for,
        devices: args.devices,
        demo_traffic: !args.no_demo_traffic,
        seed: args.seed,
    }))
}

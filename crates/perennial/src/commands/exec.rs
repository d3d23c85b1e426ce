//! `perennial exec -- COMMAND`: run a command with an access token in its environment, and keep the sign-in alive
//! as long as it runs. Signals go to the command, its exit code comes back.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Failure;
use super::profile::{EXIT_CODES, ProfileArgs, block_on};

/// How long the command's first token may take.
const FIRST_TOKEN_WITHIN: Duration = Duration::from_secs(30);
/// The life that the command's token should have left.
const FIRST_TOKEN_TTL: Duration = Duration::from_secs(60);

/// Run a command with `PERENNIAL_TOKEN` in its environment.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXIT_CODES}\n  other codes are the command's own; 127: it was not found"))]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    profile: ProfileArgs,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command.
pub(crate) fn run(args: &ExecArgs) -> Result<ExitCode, Failure> {
    let (program, arguments) = args.command.split_first().expect("clap requires a command");
    block_on(async {
        let session = args.profile.open(FIRST_TOKEN_WITHIN).await?;
        let token = session.token_for(FIRST_TOKEN_TTL).await;
        let token = token.map_err(|error| args.profile.token_failure(&error))?;
        let mut signals = listen().map_err(|error| Failure::new(format!("cannot take signals: {error}")))?;
        let started = Command::new(program).args(arguments).env("PERENNIAL_TOKEN", token.expose()).spawn();
        let mut child = started.map_err(|error| {
            Failure::new(format!("cannot run {}: {error}", program.to_string_lossy())).with_code(127)
        })?;
        let status = wait(&mut child, &mut signals).await;
        // Until here: its task renews the stored tokens while the command runs.
        drop(session);
        status.map(exit_code).map_err(|error| Failure::new(format!("lost the command: {error}")))
    })
}

/// Signals meant for the command. A terminal sends its own (Ctrl-C) to the command too, so those are only kept from
/// ending this process.
fn listen() -> std::io::Result<mpsc::Receiver<Signal>> {
    let from_terminal = std::io::stdin().is_terminal();
    let (sender, receiver) = mpsc::channel(8);
    let all = [
        (SignalKind::terminate(), Signal::TERM, true),
        (SignalKind::hangup(), Signal::HUP, true),
        (SignalKind::user_defined1(), Signal::USR1, true),
        (SignalKind::user_defined2(), Signal::USR2, true),
        (SignalKind::interrupt(), Signal::INT, !from_terminal),
        (SignalKind::quit(), Signal::QUIT, !from_terminal),
    ];
    for (kind, name, is_passed_on) in all {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if is_passed_on && sender.send(name).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

async fn wait(child: &mut Child, signals: &mut mpsc::Receiver<Signal>) -> std::io::Result<ExitStatus> {
    loop {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        tokio::select! {
            status = child.wait() => return status,
            Some(name) = signals.recv() => {
                if let Some(pid) = pid {
                    // It may have ended this very moment; then `wait` says so.
                    kill_process(pid, name).ok();
                }
            }
        }
    }
}

/// As shells do: 128 and the signal's number for a command that a signal ended.
fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

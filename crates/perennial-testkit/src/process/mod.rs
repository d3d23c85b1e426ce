//! Real processes: started, waited for, suspended, killed and started again.
//!
//! A [`Process`] is the leader of its own process group, and the whole group dies with the value, also when a
//! test fails; what the process wrote is then shown. Nothing here sleeps: readiness is a line on standard output.

mod output;

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use url::Url;

use output::Output;

/// The environment variable that names the `perennial` binary to test.
pub const BINARY_VARIABLE: &str = "PERENNIAL_BIN";

/// How long a process may take to say that it is ready: generous, since two cores build and test at once.
pub const READY_DEADLINE: Duration = Duration::from_secs(60);

/// Why a process could not be had, or did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no `perennial` binary where tests look for it.
    #[error(
        "there is no perennial binary at {}: run `cargo build -p perennial` first, or name one in {BINARY_VARIABLE}",
        looked_at.display()
    )]
    NotBuilt {
        /// Where it was looked for.
        looked_at: PathBuf,
    },
    /// The system would not start it.
    #[error("{program} does not start: {source}")]
    Start {
        /// Which program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended, or closed its output, before it had said what was waited for.
    #[error("{program} ended before it said `{awaited}`; it wrote:\n{output}")]
    Ended {
        /// Which program.
        program: String,
        /// What was waited for.
        awaited: String,
        /// All that it wrote.
        output: String,
    },
    /// The deadline passed.
    #[error("{program} did not reach `{awaited}` within {deadline:?}; it wrote:\n{output}")]
    Late {
        /// Which program.
        program: String,
        /// What was waited for.
        awaited: String,
        /// How long was waited.
        deadline: Duration,
        /// All that it wrote.
        output: String,
    },
    /// The `ready` line holds no address.
    #[error("{program} said `{line}`, which holds no address such as http://localhost:8080")]
    NoAddress {
        /// Which program.
        program: String,
        /// The line.
        line: String,
    },
    /// A signal could not be sent, or the end not be waited for.
    #[error("{program} cannot be reached: {source}")]
    Unreachable {
        /// Which program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A program with its arguments and environment, ready to be started any number of times.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
}

/// How a program that was run to its end has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote on standard output.
    pub stdout: String,
    /// What it wrote on standard error.
    pub stderr: String,
}

impl Finished {
    /// What it wrote on standard output, when it succeeded.
    ///
    /// # Panics
    /// When it failed; with all that it wrote.
    #[track_caller]
    pub fn expect_success(&self) -> &str {
        assert!(self.status.success(), "{}; it wrote:\n{}{}", self.status, self.stdout, self.stderr);
        &self.stdout
    }
}

impl Program {
    /// Any program.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), args: Vec::new(), env: Vec::new(), folder: None, stdin: None }
    }

    /// The `perennial` binary: `PERENNIAL_BIN`, else the one that Cargo built beside the running test. It inherits
    /// no `PERENNIAL_…` variable, so that nobody's settings decide a test.
    ///
    /// # Errors
    /// When it is not built.
    pub fn perennial() -> Result<Self, ProcessError> {
        let path = perennial_path();
        if !path.is_file() {
            return Err(ProcessError::NotBuilt { looked_at: path });
        }
        let settings = std::env::vars_os().map(|(name, _)| name);
        let settings = settings.filter(|name| name.to_string_lossy().starts_with("PERENNIAL_"));
        Ok(settings.fold(Self::new(path), Self::env_remove))
    }

    /// One argument more.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// An environment variable; the others are inherited.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Without this environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// The folder it runs in.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// What it reads on standard input, which ends after that; without this it reads nothing.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// Starts it, waiting for nothing. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system will not start it.
    pub fn start(self) -> Result<Process, ProcessError> {
        let output = Output::new();
        let child = self.spawn(&output)?;
        Ok(Process { program: self, child, output, url: None, listens_at: None })
    }

    /// Starts it and waits for its line `ready http://…`, at most [`READY_DEADLINE`].
    ///
    /// # Errors
    /// When it does not start, ends first, or is late; with all that it wrote.
    pub async fn start_ready(self) -> Result<Process, ProcessError> {
        let mut process = self.start()?;
        process.await_ready().await?;
        Ok(process)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it does not start, or takes longer than the deadline; it is killed then.
    pub async fn run(self, deadline: Duration) -> Result<Finished, ProcessError> {
        let mut process = self.start()?;
        let status = process.wait(deadline).await?;
        process.output.ended().await;
        Ok(Finished { status, stdout: process.stdout(), stderr: process.stderr() })
    }

    fn name(&self) -> String {
        let args = self.args.iter().map(|arg| arg.to_string_lossy());
        let path = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        std::iter::once(path).chain(args).collect::<Vec<_>>().join(" ")
    }

    fn spawn(&self, output: &Output) -> Result<Child, ProcessError> {
        let mut command = Command::new(&self.path);
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        command.args(&self.args).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child =
            command.spawn().map_err(|source| ProcessError::Start { program: self.name(), source })?;
        output.follow(child.stdout.take(), child.stderr.take());
        if let (Some(text), Some(mut stdin)) = (self.stdin.clone(), child.stdin.take()) {
            // A program that ends before it has read all of it breaks the pipe, which is its good right.
            tokio::spawn(async move { drop(stdin.write_all(&text).await) });
        }
        Ok(child)
    }

    /// The same program, listening where it was found listening last time.
    fn listen_at(&mut self, address: SocketAddr) {
        let address = address.to_string();
        for at in 0..self.args.len() {
            if self.args[at] == "--listen" && at + 1 < self.args.len() {
                self.args[at + 1] = address.into();
                return;
            }
            if self.args[at].to_string_lossy().starts_with("--listen=") {
                self.args[at] = format!("--listen={address}").into();
                return;
            }
        }
        self.env.push(("PERENNIAL_LISTEN".into(), Some(address.into())));
    }
}

/// A running process; its group is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Child,
    output: Output,
    url: Option<Url>,
    listens_at: Option<SocketAddr>,
}

impl Process {
    /// The address that it said it is ready at.
    ///
    /// # Panics
    /// When it was started without waiting for that.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.url.as_ref().expect("only a process started by `start_ready` has an address")
    }

    /// For a server whose `ready` line names somebody else, as one does whose issuer is a proxy's address: where it
    /// listens itself, and listens again after a [`Process::restart`].
    pub fn listens_at(&mut self, address: SocketAddr) {
        self.listens_at = Some(address);
    }

    /// Where it listens: what [`Process::listens_at`] was told, else 127.0.0.1 with the port of [`Process::url`].
    ///
    /// # Panics
    /// As [`Process::url`].
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        if let Some(address) = self.listens_at {
            return address;
        }
        let port = self.url().port_or_known_default().expect("an http address has a port");
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has written on standard output, restarts included.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.stdout()
    }

    /// What it has written on standard error, restarts included.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.output.stderr()
    }

    /// Waits for a whole line with `part` in it on standard output, and returns the line.
    ///
    /// # Errors
    /// When its output ends first, or the deadline passes.
    pub async fn stdout_line(&self, part: &str, deadline: Duration) -> Result<String, ProcessError> {
        let found = tokio::time::timeout(deadline, self.output.stdout_line(part)).await;
        self.found(found, part, deadline)
    }

    /// Waits for a whole line with `part` in it on standard error, and returns the line.
    ///
    /// # Errors
    /// When its output ends first, or the deadline passes.
    pub async fn stderr_line(&self, part: &str, deadline: Duration) -> Result<String, ProcessError> {
        let found = tokio::time::timeout(deadline, self.output.stderr_line(part)).await;
        self.found(found, part, deadline)
    }

    /// SIGKILL to the whole group, and waits until the process is gone.
    ///
    /// # Errors
    /// When the system cannot say how it ended.
    pub async fn kill(&mut self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::KILL)?;
        self.child.wait().await.map_err(|source| self.unreachable(source))
    }

    /// SIGTERM to the process alone, and waits for its end.
    ///
    /// # Errors
    /// When it still runs after the deadline.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus, ProcessError> {
        if let Some(pid) = self.pid() {
            rustix::process::kill_process(pid, Signal::TERM)
                .map_err(|errno| self.unreachable(errno.into()))?;
        }
        self.wait(deadline).await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after the deadline.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus, ProcessError> {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(ended) => ended.map_err(|source| self.unreachable(source)),
            Err(_) => Err(self.late("the end", deadline)),
        }
    }

    /// SIGSTOP to the whole group, and waits until the process has stopped.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn suspend(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP)?;
        let Some(pid) = self.pid() else { return Ok(()) };
        // NOWAIT leaves the news in place for whoever waits for the end of this child.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let stopped = tokio::task::spawn_blocking(move || rustix::process::waitid(WaitId::Pid(pid), options));
        let stopped = stopped.await.expect("waiting for a child does not panic");
        stopped.map(drop).map_err(|errno| self.unreachable(errno.into()))
    }

    /// SIGCONT to the whole group.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn resume(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT)
    }

    /// Kills it if it still runs and starts it again with the same arguments on the same port, and so on the
    /// same data folder; waits until it is ready.
    ///
    /// # Errors
    /// As [`Program::start_ready`].
    pub async fn restart(&mut self) -> Result<(), ProcessError> {
        if self.child.id().is_some() {
            self.kill().await?;
        }
        // What the dead one wrote is read to its end, so its `ready` line is not taken for the new one's.
        self.output.ended().await;
        if self.url.is_some() {
            let address = self.address();
            self.program.listen_at(address);
        }
        self.output.begin_again();
        self.child = self.program.spawn(&self.output)?;
        self.await_ready().await
    }

    async fn await_ready(&mut self) -> Result<(), ProcessError> {
        let line = self.stdout_line("ready http", READY_DEADLINE).await?;
        let address = line.split_whitespace().find_map(|word| Url::parse(word).ok());
        let Some(url) = address else {
            return Err(ProcessError::NoAddress { program: self.program.name(), line });
        };
        self.url = Some(url);
        Ok(())
    }

    fn found(
        &self,
        found: Result<Option<String>, tokio::time::error::Elapsed>,
        awaited: &str,
        deadline: Duration,
    ) -> Result<String, ProcessError> {
        match found {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(ProcessError::Ended {
                program: self.program.name(),
                awaited: awaited.to_owned(),
                output: self.output.to_string(),
            }),
            Err(_) => Err(self.late(awaited, deadline)),
        }
    }

    fn late(&self, awaited: &str, deadline: Duration) -> ProcessError {
        let (program, output) = (self.program.name(), self.output.to_string());
        ProcessError::Late { program, awaited: awaited.to_owned(), deadline, output }
    }

    fn unreachable(&self, source: std::io::Error) -> ProcessError {
        ProcessError::Unreachable { program: self.program.name(), source }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }

    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let Some(group) = self.pid() else { return Ok(()) };
        rustix::process::kill_process_group(group, signal).map_err(|errno| self.unreachable(errno.into()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}---", self.program.name(), self.output);
        }
        // Nobody is left to tell when this fails: it means that the group is gone.
        drop(self.signal(Signal::KILL));
    }
}

/// Where tests find the `perennial` binary, whether or not it is built.
fn perennial_path() -> PathBuf {
    if let Some(path) =
        std::env::var_os(BINARY_VARIABLE).or_else(|| std::env::var_os("CARGO_BIN_EXE_perennial"))
    {
        return path.into();
    }
    // Tests run as target/PROFILE/deps/NAME-HASH; the binaries are in target/PROFILE.
    let test = std::env::current_exe().unwrap_or_default();
    let mut folder = test.parent().unwrap_or(Path::new("target/debug/deps"));
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    folder.join("perennial")
}

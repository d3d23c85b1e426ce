//! Steps that say what they do and why, how long they took, and that stop at the first failure.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What stopped it, and what to do next.
#[derive(Debug)]
pub(crate) struct Failed {
    what: String,
    next: String,
}

impl Failed {
    pub(crate) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.next.is_empty() {
            write!(f, "; {}", self.next)?;
        }
        Ok(())
    }
}

/// The steps of one run, numbered and timed.
#[derive(Debug)]
pub(crate) struct Steps {
    root: PathBuf,
    count: usize,
    all: usize,
    started: Instant,
}

/// What a step runs its commands with.
#[derive(Debug)]
pub(crate) struct Step {
    root: PathBuf,
}

impl Steps {
    /// `all` steps, in this folder.
    pub(crate) fn new(root: &Path, all: usize) -> Self {
        Self { root: root.to_owned(), count: 0, all, started: Instant::now() }
    }

    /// One step: announced, done, and timed.
    pub(crate) fn run(
        &mut self,
        name: &str,
        why: &str,
        step: impl FnOnce(&Step) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        self.count += 1;
        let started = Instant::now();
        println!("\n=== {}/{} {name}: {why}", self.count, self.all);
        let outcome = step(&Step { root: self.root.clone() });
        let seconds = started.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                println!("=== {name}: done in {seconds:.1} s");
                Ok(())
            }
            Err(failed) => {
                println!("=== {name}: FAILED after {seconds:.1} s");
                Err(Failed {
                    what: format!("step {} of {}, {name}: {}", self.count, self.all, failed.what),
                    ..failed
                })
            }
        }
    }

    /// All steps have passed.
    pub(crate) fn done(&self) {
        println!("\nxtask: all {} steps passed in {:.0} s", self.count, self.started.elapsed().as_secs_f32());
    }
}

impl Step {
    /// Runs Cargo.
    pub(crate) fn cargo(&self, args: &[&str]) -> Result<(), Failed> {
        self.command(&cargo(), args, |_| {})
    }

    /// Runs any command in the repository, its output shown as it comes.
    pub(crate) fn command(
        &self,
        program: &str,
        args: &[&str],
        with: impl FnOnce(&mut Command),
    ) -> Result<(), Failed> {
        let shown =
            format!("{} {}", Path::new(program).file_name().unwrap_or_default().display(), args.join(" "));
        println!("$ {shown}");
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.root);
        with(&mut command);
        let status = command.status().map_err(|error| {
            Failed::new(format!("`{shown}` does not start: {error}"), format!("is {program} installed?"))
        })?;
        if status.success() {
            return Ok(());
        }
        Err(Failed::new(format!("`{shown}` failed ({status})"), "its output above says why"))
    }
}

/// The Cargo that runs this.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Where Cargo builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// What a command prints, for commands that are asked something.
pub(crate) fn asked(root: &Path, program: &str, args: &[&str]) -> Result<String, Failed> {
    let shown = format!("{program} {}", args.join(" "));
    let output = Command::new(program).args(args).current_dir(root).output();
    let output = output.map_err(|error| {
        Failed::new(format!("`{shown}` does not start: {error}"), format!("is {program} installed?"))
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failed::new(format!("`{shown}` failed: {why}"), "run it by hand to see more"))
}

//! What decides whether a change may land: `cargo xtask test`, and its quick and its long form.
//!
//! It has no dependencies, so that it is built in a second and shares nothing with what it judges. Every Cargo call
//! selects the same packages and features, so that each crate is built once and all steps judge the same build.

mod arrows;
mod install;
mod steps;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use steps::{Failed, Steps};

const USAGE: &str = "\
cargo xtask test                  everything that decides; CI runs just this
cargo xtask check                 the two-minute loop: format, lints, tidiness, tests of the pure and small crates
cargo xtask soak [--minutes N]    the long hunts, 60 minutes by default, with new seeds until one finds something";

/// What every build, lint and test of the whole has in common.
const WHOLE: [&str; 3] = ["--workspace", "--features", "perennial/testkit"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["test"] => test(),
        ["check"] => check(),
        ["soak"] => soak(60),
        ["soak", "--minutes", minutes] => match minutes.parse() {
            Ok(minutes) => soak(minutes),
            Err(_) => Err(Failed::new(format!("`{minutes}` is no number of minutes"), "give one such as 90")),
        },
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => Err(Failed::new(
            format!(
                "`{}` is unknown; there are:\n{USAGE}",
                ["cargo xtask"].iter().chain(&args).copied().collect::<Vec<_>>().join(" ")
            ),
            "",
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("xtask: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn test() -> Result<(), Failed> {
    let root = repository();
    let peers = root.join("tests/peers");
    let mut steps = Steps::new(&root, 9);
    steps.run("format", "one way to lay out code, so diffs show changes only", |step| {
        step.cargo(&["fmt", "--all", "--check"])
    })?;
    steps.run("tidy", "no unfinished words, files that can be read, arrows that point one way", |_| {
        tidy::check(&root)?;
        arrows::check(&root)
    })?;
    steps.run("browser", "people sign in through Chromium, so tests do", install::chromium)?;
    steps.run("npm packages", "an unmodified openid-client is one of the peers", |step| {
        install::node(step)?;
        install::npm_packages(step, &peers)
    })?;
    steps.run("lints", "what the compiler and clippy find, no warning allowed", |step| {
        step.cargo(&with_whole("clippy", &["--all-targets", "--", "-D", "warnings"]))
    })?;
    steps.run("build", "everything once, the binary that tests start included", |step| {
        step.cargo(&with_whole("build", &["--all-targets"]))
    })?;
    steps.run("tests", "every crate's tests, over real sockets, files and processes", |step| {
        // Without doc tests: `cargo test` runs them after each crate's others, and they have a step of their own.
        step.cargo(&with_whole("test", &["--all-targets"]))
    })?;
    steps.run("examples in the documentation", "they compile and do what they say", |step| {
        step.cargo(&with_whole("test", &["--doc"]))
    })?;
    steps.run(
        "peers",
        "an unmodified OpenID client signs in and refreshes against the built binary",
        |step| {
            let binary = steps::target(&root).join("debug/perennial");
            step.command("node", &["--test"], |node| {
                node.current_dir(&peers).env("PERENNIAL_BIN", binary);
            })
        },
    )?;
    steps.done();
    Ok(())
}

fn check() -> Result<(), Failed> {
    let root = repository();
    let mut steps = Steps::new(&root, 4);
    steps.run("format", "one way to lay out code", |step| step.cargo(&["fmt", "--all", "--check"]))?;
    steps.run("tidy", "no unfinished words, arrows that point one way", |_| {
        tidy::check(&root)?;
        arrows::check(&root)
    })?;
    steps.run("lints", "what the compiler and clippy find", |step| {
        step.cargo(&with_whole("clippy", &["--all-targets", "--", "-D", "warnings"]))
    })?;
    steps.run("tests", "of core, store, client and verifier: the parts that need no server", |step| {
        let packages =
            ["core", "store", "client", "verify"].map(|name| format!("--package=perennial-{name}"));
        let args: Vec<&str> = std::iter::once("test").chain(packages.iter().map(String::as_str)).collect();
        step.cargo(&args)
    })?;
    steps.done();
    Ok(())
}

fn soak(minutes: u64) -> Result<(), Failed> {
    let root = repository();
    let end = Instant::now() + Duration::from_secs(minutes.saturating_mul(60));
    let mut round = 0;
    loop {
        round += 1;
        let mut steps = Steps::new(&root, 1);
        steps.run(
            &format!("round {round}"),
            "all tests, the random ones much longer, on new seeds",
            |step| {
                step.command(&steps::cargo(), &with_whole("test", &["--all-targets"]), |cargo| {
                    // Random tests read the first; proptest reads the second.
                    cargo
                        .env("PERENNIAL_SOAK", "1")
                        .env("PROPTEST_CASES", "20000")
                        .env_remove("PERENNIAL_SEED");
                })
            },
        )?;
        if Instant::now() >= end {
            println!("xtask: {round} rounds in {minutes} minutes found nothing");
            return Ok(());
        }
    }
}

/// `cargo COMMAND` for the whole workspace, with what follows.
fn with_whole<'a>(command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&[command], &WHOLE[..], rest].concat()
}

/// The folder that holds `xtask`.
fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the repository").to_owned()
}

//! Processes of one user that all ask for tokens again and again, on one credential file, and to which things happen.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use perennial_client::{Credentials, FileStore, Store as _};
use perennial_testkit::process::{ProcessError, Program};
use perennial_testkit::{Rng, Seed};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::world::{DEADLINE, Home, World};

/// The steps of a refresh at which a process built for tests can be made to die.
pub(crate) const FAILPOINTS: [&str; 6] = [
    "before_key_stored",
    "after_key_stored",
    "before_send",
    "after_receive",
    "before_tokens_stored",
    "after_tokens_stored",
];
const PROCESSES: u64 = 24;
const ABORTED: i32 = 6;
const KILLED: i32 = 9;
/// A process does its work within such a time, mostly; that is when something happens to it.
const WORK_MS: u64 = 120;
/// Longer than the access tokens of these tests live.
const SUSPENDED_MS: u64 = 2_500;

/// What happens to one process.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Undisturbed,
    DiesAt(&'static str),
    KilledAfter(Duration),
    SuspendedAfter(Duration, Duration),
}

impl Fate {
    fn draw(rng: &mut Rng) -> Self {
        let moment = Duration::from_millis(rng.below(WORK_MS));
        match rng.below(100) {
            0..30 => Self::DiesAt(rng.pick(&FAILPOINTS).unwrap()),
            30..42 => Self::KilledAfter(moment),
            42..54 => Self::SuspendedAfter(moment, Duration::from_millis(rng.below(SUSPENDED_MS))),
            _ => Self::Undisturbed,
        }
    }
}

/// How the processes of a fleet ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// With a token.
    pub(crate) served: u32,
    /// Of these: after they had been suspended.
    pub(crate) resumed: u32,
    /// At a step of a refresh.
    pub(crate) died: u32,
    /// By SIGKILL.
    pub(crate) killed: u32,
}

/// Twenty-four at a time, each followed by the next so many times. Whoever is not killed gets a token.
pub(crate) async fn work(home: &Home, seed: Seed, times: u32) -> Ends {
    let mut processes = JoinSet::new();
    for number in 0..PROCESSES {
        let mut rng = seed.nth(number).rng();
        let home = home.path().to_owned();
        processes.spawn(async move {
            let mut ends = Ends::default();
            for _ in 0..times {
                let fate = Fate::draw(&mut rng);
                let lived = live(&home, fate, &mut ends).await;
                lived.unwrap_or_else(|error| panic!("{fate:?}: {error}"));
            }
            ends
        });
    }
    let ends = processes.join_all().await.into_iter().fold(Ends::default(), |all, one| Ends {
        served: all.served + one.served,
        resumed: all.resumed + one.resumed,
        died: all.died + one.died,
        killed: all.killed + one.killed,
    });
    eprintln!("{ends:?}");
    ends
}

async fn live(home: &Path, fate: Fate, ends: &mut Ends) -> Result<(), ProcessError> {
    let program = Program::perennial()?.args(["token", "--wait", "60s"]).env("XDG_STATE_HOME", home);
    let program = match fate {
        Fate::DiesAt(step) => program.env("PERENNIAL_FAILPOINT", step),
        Fate::Undisturbed | Fate::KilledAfter(_) | Fate::SuspendedAfter(..) => program,
    };
    let mut process = program.start()?;
    let mut was_suspended = false;
    let status = match fate {
        Fate::Undisturbed | Fate::DiesAt(_) => process.wait(DEADLINE).await?,
        Fate::KilledAfter(moment) => match process.wait(moment).await {
            Ok(ended) => ended,
            Err(_) => process.kill().await?,
        },
        Fate::SuspendedAfter(moment, how_long) => match process.wait(moment).await {
            Ok(ended) => ended,
            Err(_) => {
                process.suspend().await?;
                // One that stands still does not end; it may have ended just before.
                was_suspended = process.wait(how_long).await.is_err();
                process.resume()?;
                process.wait(DEADLINE).await?
            }
        },
    };
    match (status.code(), status.signal(), fate) {
        (Some(0), None, _) => {
            ends.served += 1;
            ends.resumed += u32::from(was_suspended);
        }
        // Most do not come to the step: somebody else has refreshed.
        (None, Some(ABORTED), Fate::DiesAt(_)) => ends.died += 1,
        (None, Some(KILLED), Fate::KilledAfter(_)) => ends.killed += 1,
        _ => panic!("{fate:?} ended with {status}: {}", process.stderr()),
    }
    Ok(())
}

/// The user is signed in, was never signed out in between, and the token is one that the server accepts.
pub(crate) async fn assert_signed_in(home: &Home, world: &World) -> Credentials {
    let status = home.run(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(status.expect_success()).unwrap();
    assert_eq!(status["state"], "signed_in", "{status}");
    home.run(&["token", "--wait", "60s"]).await.expect_success();
    let stored = FileStore::at(home.credentials()).read(None).unwrap().unwrap();
    assert!(stored.set_aside.is_empty(), "tokens were given up: {:?}", stored.set_aside);
    // By the refresh token: an access token of a second may be over before a process has ended.
    let form = [("client_id", "cli"), ("refresh_token", stored.refresh_token().unwrap().expose())];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let asked = reqwest::Client::new()
        .post(format!("{}/session", world.issuer()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let answer: Value = serde_json::from_str(&asked.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(answer["session"]["state"], "active", "{answer}");
    stored
}

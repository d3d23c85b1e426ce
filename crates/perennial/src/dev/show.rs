//! The account of it that people read: redrawn in place on a terminal, a line every few seconds elsewhere.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use console::Term;
use perennial_testkit::Seed;

use crate::commands::output;

use super::demo::{LOGIN, PASSWORD, SERVICE_SECRET};
use super::network::{FAULTS, Network};
use super::tally::{Side, Tally};

const REDRAW_EVERY: Duration = Duration::from_millis(250);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What stands still while everything else moves.
pub(super) struct Scene {
    pub(super) issuer: Arc<str>,
    pub(super) api: SocketAddr,
    pub(super) seed: Seed,
    pub(super) data: Option<PathBuf>,
}

impl Scene {
    /// What there is to open and to try.
    pub(super) fn welcome(&self) -> String {
        let Self { issuer, api, seed, data } = self;
        let data = data
            .as_ref()
            .map_or("a temporary folder; --data DIR keeps it".to_owned(), |dir| dir.display().to_string());
        format!(
            "Perennial dev: sessions that outlive their tokens\n\
             \n\
             server      {issuer}\n\
             discovery   {issuer}/.well-known/openid-configuration\n\
             sign in     {LOGIN} / {PASSWORD}\n\
             clients     demo-web, demo-cli, demo-strict; demo-service with secret {SERVICE_SECRET}\n\
             try         perennial login {issuer}\n\
             sample API  http://{api}/whoami and /notes, with a bearer token\n\
             data        {data}\n\
             network     loses {}% of all answers and {}% of all requests, cuts {}%; seed {:#x}\n",
            FAULTS.lose_answer, FAULTS.lose_request, FAULTS.cut_answer, seed.0
        )
    }
}

/// Tells what happens until it is dropped.
pub(super) async fn live(tally: &Tally, kept: &Network, plain: &Network) {
    let term = Term::stdout();
    if term.is_term() {
        redraw(&term, tally, kept, plain).await;
    } else {
        let mut every = tokio::time::interval(LINE_EVERY);
        every.tick().await;
        loop {
            every.tick().await;
            // An account that cannot be written ends nothing.
            let _ = output::line(line(tally));
        }
    }
}

async fn redraw(term: &Term, tally: &Tally, kept: &Network, plain: &Network) {
    let mut every = tokio::time::interval(REDRAW_EVERY);
    let mut drawn_lines = 0;
    loop {
        every.tick().await;
        let mut text = table(tally, kept, plain);
        text.push_str("\nlatest\n");
        for happening in tally.latest() {
            let _ = writeln!(text, "  {happening}");
        }
        text.push_str("\nCtrl-C ends it.\n");
        // A terminal that went away ends nothing: the work goes on unseen.
        let _ = term.clear_last_lines(drawn_lines);
        let _ = term.write_str(&text);
        drawn_lines = text.lines().count();
    }
}

fn line(tally: &Tally) -> String {
    let (kept, plain) = (tally.side(Side::Perennial), tally.side(Side::Plain));
    format!(
        "{}  perennial: {} calls, {} refreshes, {} replays, interruptions: {}  |  plain, strict rotation: {} calls, \
         {} refreshes, interruptions: {}",
        clock(tally.elapsed()),
        kept.calls,
        kept.refreshes,
        kept.replays,
        kept.interruptions,
        plain.calls,
        plain.refreshes,
        plain.interruptions,
    )
}

/// The table of both sides.
fn table(tally: &Tally, kept_network: &Network, plain_network: &Network) -> String {
    let (kept, plain) = (tally.side(Side::Perennial), tally.side(Side::Plain));
    let lost = |network: &Network| {
        let counts = network.to_server();
        counts.answers_lost + counts.answers_cut
    };
    let lost_of_api = |network: &Network| {
        let counts = network.to_api();
        counts.answers_lost + counts.answers_cut
    };
    let head = format!("after {}", clock(tally.elapsed()));
    let mut text = format!("{head:<34}{:>16}{:>26}\n", "Perennial", "plain client, strict");
    for (what, kept, plain) in [
        ("calls made", kept.calls, plain.calls),
        ("API answers lost or cut", lost_of_api(kept_network), lost_of_api(plain_network)),
        ("refreshes", kept.refreshes, plain.refreshes),
        ("refresh answers lost or cut", lost(kept_network), lost(plain_network)),
        ("replays (same successor again)", kept.replays, plain.replays),
        ("sessions ended by the server", kept.ended, plain.ended),
        ("interruptions", kept.interruptions, plain.interruptions),
    ] {
        let _ = writeln!(text, "{what:<34}{kept:>16}{plain:>26}");
    }
    let slowest = |took: Duration| format!("{:.1} s", took.as_secs_f64());
    let _ =
        writeln!(text, "{:<34}{:>16}{:>26}", "slowest call", slowest(kept.slowest), slowest(plain.slowest));
    text
}

/// The last word.
pub(super) fn summary(tally: &Tally, kept: &Network, plain: &Network) -> String {
    let interruptions = tally.side(Side::Perennial).interruptions;
    let mut text = format!("\n{}", table(tally, kept, plain));
    let told =
        tally.latest().into_iter().filter(|told| told.contains("perennial device")).collect::<Vec<_>>();
    for interruption in told {
        let _ = writeln!(text, "  {interruption}");
    }
    let _ = write!(text, "\ninterruptions: {interruptions}");
    text
}

/// Minutes and seconds.
pub(super) fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

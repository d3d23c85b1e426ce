//! `perennial status`: what a profile holds, for people or as JSON. It asks nobody and changes nothing.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use perennial_client::{Credentials, FileStore, SetAside, Store, Tokens, UnixMillis};

use super::profile::{EXIT_CODES, ProfileArgs, SIGNED_OUT, readable};
use super::{Failure, output};

/// Show what a profile holds.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    profile: ProfileArgs,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows it. The exit code says whether somebody is signed in.
pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let store = args.profile.store()?;
    let stored = store.read(None).map_err(|failure| args.profile.store_failure(&failure))?;
    let now = now();
    if args.json {
        output::line(as_json(&args.profile.profile, stored.as_ref()))?;
    } else {
        output::text(as_text(&args.profile.profile, &store, stored.as_ref(), now))?;
    }
    let signed_in = stored.is_some_and(|stored| stored.tokens.is_some());
    Ok(if signed_in { ExitCode::SUCCESS } else { ExitCode::from(SIGNED_OUT) })
}

fn now() -> UnixMillis {
    UnixMillis(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default())
}

fn as_text(profile: &str, store: &FileStore, stored: Option<&Credentials>, now: UnixMillis) -> String {
    let mut lines = vec![("profile", format!("{profile} ({})", store.path().display()))];
    let Some(stored) = stored else {
        lines.push(("state", "not signed in; run `perennial login ISSUER`".to_owned()));
        return table(&lines);
    };
    lines.push(("issuer", stored.issuer.clone()));
    lines.push(("client", stored.client_id.clone()));
    match &stored.tokens {
        Some(tokens) => {
            lines.push(("state", signed_in(stored)));
            lines.push(("token", token_life(tokens, now)));
        }
        None => lines.push(("state", signed_out(stored.set_aside.last(), now))),
    }
    if let Some(session) = &stored.session {
        lines.push(("session", session.id.clone()));
        let server_now = server_seconds(stored, now);
        let until = |at: u64| format!("{} ({})", in_or_ago(at, server_now), date(at));
        lines.extend(session.ends_at.map(|at| ("ends", until(at))));
        lines.extend(session.idle_expires_at.map(|at| ("ends if unused", until(at))));
        lines.extend(session.absolute_expires_at.map(|at| ("ends in any case", until(at))));
        lines.extend(session.notices.iter().map(|notice| ("notice", notice.message.clone())));
    }
    table(&lines)
}

fn signed_in(stored: &Credentials) -> String {
    stored.session.as_ref().map_or("signed in", |session| session.state.as_str()).to_owned()
}

fn signed_out(last: Option<&SetAside>, now: UnixMillis) -> String {
    let Some(dead) = last else { return "not signed in; run `perennial login`".to_owned() };
    let ago = readable(Duration::from_millis(now.since_ms(dead.at)));
    let words = dead.description.as_deref().or(dead.reason.as_deref()).unwrap_or(&dead.error);
    format!("signed out {ago} ago: {}; run `perennial login`", words.trim_end_matches('.'))
}

fn token_life(tokens: &Tokens, now: UnixMillis) -> String {
    let Some(token) = &tokens.access_token else {
        return "none yet; the first use fetches one".to_owned();
    };
    let scope = token.scope.as_deref().map(|scope| format!(", for {scope}")).unwrap_or_default();
    let expires_at = token.expires_at();
    if expires_at > now {
        format!("expires in {}{scope}", readable(Duration::from_millis(expires_at.since_ms(now))))
    } else {
        let ago = readable(Duration::from_millis(now.since_ms(expires_at)));
        format!("expired {ago} ago; the next use refreshes it{scope}")
    }
}

/// The server's clock: its deadlines are held against it, not against this machine's.
fn server_seconds(stored: &Credentials, now: UnixMillis) -> u64 {
    now.0.saturating_add_signed(stored.server_ahead_ms) / 1_000
}

fn in_or_ago(at: u64, now: u64) -> String {
    if at >= now {
        format!("in {}", readable(Duration::from_secs(at - now)))
    } else {
        format!("{} ago", readable(Duration::from_secs(now - at)))
    }
}

fn date(at: u64) -> String {
    let timestamp = i64::try_from(at).ok().and_then(|at| Timestamp::from_second(at).ok());
    timestamp.map_or_else(|| at.to_string(), |at| at.to_string())
}

fn table(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        writeln!(text, "{name:width$}  {value}").expect("writing to a string does not fail");
        text
    })
}

/// No token, key or secret is in it.
fn as_json(profile: &str, stored: Option<&Credentials>) -> serde_json::Value {
    let tokens = stored.and_then(|stored| stored.tokens.as_ref());
    let access = tokens.and_then(|tokens| tokens.access_token.as_ref());
    let last = stored.and_then(|stored| stored.set_aside.last());
    serde_json::json!({
        "profile": profile,
        "state": if tokens.is_some() { "signed_in" } else { "signed_out" },
        "issuer": stored.map(|stored| &stored.issuer),
        "client_id": stored.map(|stored| &stored.client_id),
        "expires_at": access.map(|token| token.expires_at().0 / 1_000),
        "scope": access.and_then(|token| token.scope.as_deref()),
        "refreshable": tokens.is_some_and(|tokens| tokens.refresh_token.is_some()),
        "session": stored.and_then(|stored| stored.session.as_ref()),
        "signed_out": last.filter(|_| tokens.is_none()).map(|dead| serde_json::json!({
            "at": dead.at.0 / 1_000, "error": dead.error, "reason": dead.reason,
            "description": dead.description, "request_id": dead.request_id, "uri": dead.uri,
        })),
    })
}

#[cfg(test)]
mod tests {
    use perennial_client::{AccessToken, Clocks, Secret, SessionFacts, Story};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_494_000_000);

    fn signed_in() -> Credentials {
        let session = serde_json::json!({ "id": "s-1", "state": "active", "idle_expires_at": 1_795_500_000 });
        let session: SessionFacts = serde_json::from_value(session).unwrap();
        Credentials {
            tokens: Some(Tokens {
                serial: 1,
                access_token: Some(AccessToken {
                    secret: Secret::from("at-secret"),
                    scope: Some("openid".to_owned()),
                    asked_at: Clocks { wall: NOW, ..Clocks::default() },
                    lifetime_ms: 250_000,
                    refresh_after_ms: None,
                }),
                refresh_token: Some(Secret::from("rt-secret")),
                id_token: None,
            }),
            session: Some(session),
            ..Credentials::signed_out("https://id.example.org", "demo-cli", "https://id.example.org/token")
        }
    }

    fn text(stored: Option<&Credentials>, now: UnixMillis) -> String {
        as_text("work", &FileStore::at("/state/work.json"), stored, now)
    }

    #[test]
    fn signed_in_profile_shows_its_deadlines_and_no_secret() {
        let stored = signed_in();
        let shown = text(Some(&stored), NOW);
        assert_eq!(
            shown,
            "profile         work (/state/work.json)\n\
             issuer          https://id.example.org\n\
             client          demo-cli\n\
             state           active\n\
             token           expires in 4 min 10 s, for openid\n\
             session         s-1\n\
             ends if unused  in 1 h 40 min (2026-11-24T06:00:00Z)\n"
        );
        let json = as_json("work", Some(&stored)).to_string();
        assert!(!shown.contains("secret") && !json.contains("secret"));
    }

    #[test]
    fn deadlines_are_held_against_the_servers_clock() {
        let stored = Credentials { server_ahead_ms: 3_600_000, ..signed_in() };
        assert!(text(Some(&stored), NOW).contains("ends if unused  in 40 min"));
    }

    #[test]
    fn signed_out_profile_says_why_and_what_to_do() {
        let story = Story {
            error: "invalid_grant".to_owned(),
            description: Some("You signed out on another device.".to_owned()),
            ..Story::default()
        };
        let stored = signed_in().with_tokens_set_aside(story, NOW);
        let shown = text(Some(&stored), NOW.plus_ms(120_000));
        let expected =
            "state    signed out 2 min ago: You signed out on another device; run `perennial login`\n";
        assert!(shown.contains(expected), "{shown}");
        assert!(text(None, NOW).contains("not signed in"));
    }

    #[test]
    fn durations_read_in_their_two_largest_units() {
        let seconds = |seconds| readable(Duration::from_secs(seconds));
        assert_eq!(seconds(0), "0 s");
        assert_eq!(seconds(59), "59 s");
        assert_eq!(seconds(3_600), "1 h");
        assert_eq!(seconds(3_605), "1 h");
        assert_eq!(seconds(90_061), "1 d 1 h");
    }
}

//! The command as its users know it: signing in, tokens, commands that are given one, and being signed out.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::{DEADLINE, Home, LOGIN, World};
use perennial_testkit::Seed;

async fn signed_in() -> (World, Home) {
    let world = World::start(Seed::announce()).await;
    let home = Home::new();
    home.log_in(&world.issuer(), "cli").await;
    (world, home)
}

async fn status(home: &Home) -> (Option<i32>, Value) {
    let status = home.run(&["status", "--json"]).await;
    (status.status.code(), serde_json::from_str(&status.stdout).unwrap())
}

#[tokio::test]
async fn signed_in_user_has_tokens_and_commands_get_them() {
    let (world, home) = signed_in().await;
    let (code, told) = status(&home).await;
    assert_eq!(code, Some(0));
    assert_eq!(told["state"], "signed_in");
    assert_eq!(told["issuer"], world.issuer());
    assert_eq!(told["client_id"], "cli");
    assert_eq!(told["refreshable"], true);
    let words = home.run(&["status"]).await;
    assert!(words.expect_success().contains("active"), "{}", words.stdout);

    let token = home.run(&["token"]).await;
    let token = token.expect_success().trim();
    let user = reqwest::Client::new().get(format!("{}/userinfo", world.issuer())).bearer_auth(token);
    assert_eq!(user.send().await.unwrap().status(), 200);
    let json = home.run(&["token", "--json"]).await;
    let json: Value = serde_json::from_str(json.expect_success()).unwrap();
    assert_eq!(json["access_token"], token, "it lives, so it is the same");
    assert!(json["expires_in"].as_u64().unwrap() > 60);

    let given = home.run(&["exec", "--", "sh", "-c", "test -n \"$PERENNIAL_TOKEN\""]).await;
    given.expect_success();
    assert_eq!(home.run(&["exec", "--", "sh", "-c", "exit 23"]).await.status.code(), Some(23));
    assert_eq!(home.run(&["exec", "--", "sh", "-c", "kill -9 $$"]).await.status.code(), Some(128 + 9));
    assert_eq!(home.run(&["exec", "--", "/no/such/command"]).await.status.code(), Some(127));
    world.end().await;
}

#[tokio::test]
async fn password_change_signs_out_with_a_reason() {
    let (world, home) = signed_in().await;
    let passwd =
        world.command(&["user", "passwd", LOGIN, "--password-stdin"]).stdin("another long passphrase\n");
    let passwd = passwd.run(DEADLINE).await.unwrap();
    assert!(passwd.expect_success().contains("1 session ended"), "{}", passwd.stdout);
    // The access token lives on until it expires; the next refresh learns of it.
    let store = perennial_client::FileStore::at(home.credentials());
    expire(&store);
    let token = home.run(&["token"]).await;
    assert_eq!(token.status.code(), Some(3), "{token:?}");
    assert_eq!(token.stderr.lines().count(), 1, "{}", token.stderr);
    assert!(
        token.stderr.contains("session has ended") && token.stderr.contains("perennial login"),
        "{}",
        token.stderr
    );
    assert!(token.stdout.is_empty());
    let (code, told) = status(&home).await;
    assert_eq!((code, &told["state"]), (Some(3), &Value::from("signed_out")));
    assert_eq!(told["signed_out"]["reason"], "revoked", "{told}");
    world.end().await;
}

/// Takes the access token away, so that the next command must refresh.
fn expire(store: &perennial_client::FileStore) {
    use perennial_client::Store as _;
    let mut stored = store.read(None).unwrap().unwrap();
    stored.tokens.as_mut().unwrap().access_token = None;
    store.write(&store.lock().unwrap(), &stored).unwrap();
}

#[tokio::test]
async fn nobody_signed_in_is_said_with_the_next_step() {
    let home = Home::new();
    for args in [&["token"][..], &["exec", "--", "true"]] {
        let ended = home.run(args).await;
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        assert!(ended.stderr.contains("perennial login"), "{ended:?}");
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
    let (code, told) = status(&home).await;
    assert_eq!((code, &told["state"]), (Some(3), &Value::from("signed_out")));
    let login = home.run(&["login"]).await;
    assert_eq!(login.status.code(), Some(2));
    assert!(login.stderr.contains("perennial login ISSUER"), "{login:?}");
}

#[tokio::test]
async fn server_that_is_away_is_waited_for_as_long_as_asked() {
    let (mut world, home) = signed_in().await;
    expire(&perennial_client::FileStore::at(home.credentials()));
    world.server.kill().await.unwrap();
    let ended = home.run(&["token", "--wait", "1s"]).await;
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    world.server.restart().await.unwrap();
    home.run(&["token"]).await.expect_success();
    world.end().await;
}

#[tokio::test]
async fn accounts_are_made_with_a_server_running_and_without() {
    let mut world = World::start(Seed::announce()).await;
    let add = |world: &World, login: &str| {
        world.command(&["user", "add", login, "--password-stdin"]).stdin("a long enough password\n")
    };
    add(&world, "grace").run(DEADLINE).await.unwrap().expect_success();
    assert!(world.server.terminate(DEADLINE).await.unwrap().success());
    add(&world, "edsger").run(DEADLINE).await.unwrap().expect_success();
    world.server.restart().await.unwrap();
    let list = world.command(&["user", "list"]).run(DEADLINE).await.unwrap();
    for login in [LOGIN, "grace", "edsger"] {
        assert!(list.expect_success().contains(login), "{}", list.stdout);
    }
    world.end().await;
}

#[test]
fn standard_output_that_cannot_be_written_is_told_and_one_that_nobody_reads_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let show = |stdout: Stdio| {
        let mut perennial = Command::new(env!("CARGO_BIN_EXE_perennial"));
        perennial.args(["config", "show"]).current_dir(folder.path()).stdout(stdout).output().unwrap()
    };
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = show(full.into());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.starts_with("perennial: standard output cannot be written"), "{said}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = show(writer.into());
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

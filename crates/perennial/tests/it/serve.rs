//! `perennial serve` and the commands to it, as processes: start, reload, shutdown, and what is said when one
//! of them cannot be.

use std::path::Path;
use std::time::Duration;

use perennial_testkit::process::{Finished, Process, Program};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with a configuration in it; every command runs there.
struct Place(tempfile::TempDir);

impl Place {
    fn with(text: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("perennial.toml", text);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn program(&self, args: &[&str]) -> Program {
        Program::perennial().unwrap().args(args).current_dir(self.path())
    }

    async fn serve(&self) -> Process {
        self.program(&["serve", "--listen", "127.0.0.1:0"]).start_ready().await.unwrap()
    }

    async fn run(&self, args: &[&str]) -> Finished {
        self.program(args).run(DEADLINE).await.unwrap()
    }

    /// What a command says that cannot do what it was asked: one line.
    async fn fails(&self, code: i32, args: &[&str]) -> String {
        let finished = self.run(args).await;
        assert_eq!(finished.status.code(), Some(code), "{}", finished.stderr);
        let last = finished.stderr.lines().last().unwrap_or_default().to_owned();
        assert_eq!(finished.stderr.lines().filter(|line| line.starts_with("perennial: ")).count(), 1);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        last
    }
}

fn signal(process: &Process, signal: Signal) {
    let id = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
    kill_process(id, signal).unwrap();
}

const APP: &str = "[[client]]\nid = \"app\"\nredirect_uris = [\"https://a.example/\"]\n";

#[tokio::test]
async fn a_server_starts_takes_commands_and_ends_with_0() {
    let place = Place::with(APP);
    let mut server = place.serve().await;
    assert!(server.stdout().starts_with("ready http://localhost:"));
    let ready = reqwest::get(format!("http://{}/readyz", server.address())).await.unwrap();
    assert_eq!(ready.status(), 200);

    let add =
        place.program(&["user", "add", "ada", "--password-stdin"]).stdin("correct horse battery staple\n");
    assert!(add.run(DEADLINE).await.unwrap().expect_success().starts_with("added ada "));
    assert!(place.run(&["user", "list"]).await.expect_success().starts_with("ada "));
    let taken = place.program(&["user", "add", "ada", "--password-stdin"]).stdin("another long password\n");
    assert_eq!(taken.run(DEADLINE).await.unwrap().status.code(), Some(1));

    let added =
        place.run(&["client", "add", "svc", "--kind", "service", "--confidential", "--scope", "x"]).await;
    let secret =
        added.expect_success().lines().find_map(|line| line.strip_prefix("secret ")).unwrap().to_owned();
    let token = reqwest::Client::new()
        .post(format!("http://{}/token", server.address()))
        .basic_auth("svc", Some(&secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials")
        .send()
        .await
        .unwrap();
    assert_eq!(token.status(), 200);
    assert_eq!(place.run(&["client", "list", "--json"]).await.expect_success().matches("\"id\"").count(), 2);

    let status = server.terminate(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    assert!(!server.stderr().contains(&secret), "no secret in the log");
    assert!(place.run(&["user", "list"]).await.expect_success().starts_with("ada "), "and without a server");
}

#[tokio::test]
async fn a_reload_takes_what_it_can_and_says_what_needs_a_restart() {
    let place = Place::with("");
    let mut server = place.serve().await;
    place.write("perennial.toml", &format!("signing_algorithm = \"EdDSA\"\n[log]\nlevel = \"debug\"\n{APP}"));
    signal(&server, Signal::HUP);
    server.stderr_line("in effect only after a restart: signing_algorithm", DEADLINE).await.unwrap();
    assert!(place.run(&["client", "list"]).await.expect_success().starts_with("app "));
    reqwest::get(format!("http://{}/healthz", server.address())).await.unwrap();
    server.stderr_line("DEBUG perennial::request", DEADLINE).await.unwrap();
    server.terminate(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_bad_file_or_policy_leaves_the_old_one_in_effect() {
    let place = Place::with(APP);
    let mut server = place.serve().await;
    place.write("perennial.toml", "# a client less, and\nlisen = 1\n");
    signal(&server, Signal::HUP);
    server.stderr_line("stays in effect: perennial.toml:2:1: unknown key `lisen`", DEADLINE).await.unwrap();
    assert!(
        place
            .run(&["client", "list", "--config", "/dev/null", "--data", "perennial-data"])
            .await
            .expect_success()
            .starts_with("app ")
    );

    place.write("policy.toml", "[client_kinds.web]\nsession.idle = \"soon\"\n");
    place.write("perennial.toml", "policy = \"policy.toml\"\n");
    signal(&server, Signal::HUP);
    server
        .stderr_line("stays in effect: policy.toml: client_kinds.web.session.idle", DEADLINE)
        .await
        .unwrap();
    let asked = reqwest::get(format!("http://{}/readyz", server.address())).await.unwrap();
    assert_eq!(asked.status(), 200);
    server.terminate(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_in_one_line() {
    let place = Place::with("");
    let mut server = place.serve().await;
    let address = server.address().to_string();
    let port = place.fails(1, &["serve", "--data", "other", "--listen", &address]).await;
    assert!(port.contains("is in use") && port.contains("--listen"), "{port}");
    let folder = place.fails(1, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(folder.contains(&format!("process {}", server.id().unwrap())), "{folder}");
    server.terminate(DEADLINE).await.unwrap();

    place.write("file", "");
    let no_folder = place.fails(1, &["serve", "--listen", "127.0.0.1:0", "--data", "file"]).await;
    assert!(no_folder.contains("the data folder file") && no_folder.contains("--data"), "{no_folder}");
    let elsewhere = place.fails(1, &["serve", "--listen", "192.0.2.1:0", "--data", "other"]).await;
    assert!(elsewhere.contains("cannot listen on 192.0.2.1:0"), "{elsewhere}");
    place.write("perennial.toml", "[limits]\nmax_conections = 1\n");
    let config = place.fails(2, &["serve"]).await;
    assert_eq!(
        config,
        "perennial: perennial.toml:2:1: unknown key `limits.max_conections`: did you mean `max_connections`?"
    );
    assert_eq!(place.fails(2, &["config", "check"]).await, config);
    place.write("key-encryption.key", "short");
    place.write("perennial.toml", "key_encryption_key = \"key-encryption.key\"\n");
    let key = place.fails(2, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(key.contains("key-encryption.key"), "{key}");
}

/// A request whose header has arrived and whose body has not.
async fn half_a_request(server: &Process) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = "POST /token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                content-length: 34\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body once it is at work on the request.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 Continue"));
    stream
}

#[tokio::test]
async fn a_shutdown_answers_the_request_in_flight() {
    let place = Place::with("");
    let mut server = place.serve().await;
    let mut stream = half_a_request(&server).await;
    signal(&server, Signal::TERM);
    // It has heard the signal when it accepts nothing more.
    while TcpStream::connect(server.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"grant_type=client_credentials&x=yz").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("\"action\":\"fix_client\""), "{answer}");
    assert_eq!(server.wait(DEADLINE).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let place = Place::with("");
    let mut server = place.serve().await;
    let _held = half_a_request(&server).await;
    signal(&server, Signal::TERM);
    while TcpStream::connect(server.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    signal(&server, Signal::TERM);
    assert_eq!(server.wait(DEADLINE).await.unwrap().code(), Some(1));
    server.stderr_line("stopped at once by a second signal", DEADLINE).await.unwrap();
}

#[tokio::test]
async fn the_configuration_is_shown_with_its_origins() {
    let place = Place::with("[log]\nformat = \"json\"\n");
    let shown =
        place.program(&["config", "show", "--listen", "127.0.0.1:9"]).env("PERENNIAL_LOG_LEVEL", "warn");
    let shown = shown.run(DEADLINE).await.unwrap();
    let shown = shown.expect_success();
    for line in [
        "listen = \"127.0.0.1:9\"  # --listen",
        "format = \"json\"  # perennial.toml:2:10",
        "level = \"warn\"  # PERENNIAL_LOG_LEVEL",
    ] {
        assert!(shown.lines().any(|own| own == line), "{shown}");
    }
    assert!(place.run(&["config", "check"]).await.expect_success().starts_with("the configuration is good"));
}

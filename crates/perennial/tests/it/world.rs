//! A server as a process, behind a network that fails as told, with a person who can sign in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use perennial_testkit::Seed;
use perennial_testkit::http::CookieClient;
use perennial_testkit::process::{Finished, Process, Program};
use perennial_testkit::proxy::{FaultyProxy, script};
use tempfile::TempDir;

/// Generous: two cores may be building at the same time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Who signs in.
pub(crate) const LOGIN: &str = "ada";
/// With what.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// `app` is for HTTP requests made by hand, `cli` for `perennial login`; the log is read by `decisions`.
const CONFIG: &str = r#"
policy = "policy.toml"
[log]
format = "json"
[[client]]
id = "app"
redirect_uris = ["http://127.0.0.1/callback"]
[[client]]
id = "cli"
kind = "agent"
redirect_uris = ["http://127.0.0.1/callback"]
"#;

/// `perennial serve` on a data folder of its own. Its issuer is the proxy before it, which passes everything
/// until it is told otherwise.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) proxy: FaultyProxy,
    pub(crate) server: Process,
}

impl World {
    /// With the default policy.
    pub(crate) async fn start(seed: Seed) -> Self {
        Self::with_policy(seed, "").await
    }

    /// With access tokens of so many seconds, so that refreshes are due all the time.
    pub(crate) async fn with_access_tokens_of(seed: Seed, seconds: u32) -> Self {
        let lifetime = format!("access_token.lifetime = \"{seconds}s\"\n");
        Self::with_policy(seed, &format!("[client_kinds.web]\n{lifetime}[client_kinds.agent]\n{lifetime}"))
            .await
    }

    async fn with_policy(seed: Seed, policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("perennial.toml"), CONFIG).unwrap();
        std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
        let proxy = FaultyProxy::unpointed(seed, script::pass()).await.unwrap();
        let server = Program::perennial()
            .unwrap()
            .args(["serve", "--listen", "127.0.0.1:0", "--issuer", &proxy.url()])
            .current_dir(folder.path())
            .start_ready()
            .await;
        let mut server = server.unwrap();
        // The `ready` line names the issuer, which is the proxy; the log says where the server itself listens.
        let line = server.stderr_line("\"message\":\"ready\"", DEADLINE).await.unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        server.listens_at(line["address"].as_str().unwrap().parse().unwrap());
        proxy.point_at(server.address());
        let world = Self { folder, proxy, server };
        world.add_account(LOGIN).await;
        world
    }

    /// Any command, run where the server's configuration and data are.
    pub(crate) fn command(&self, args: &[&str]) -> Program {
        Program::perennial().unwrap().args(args).current_dir(self.folder.path())
    }

    async fn add_account(&self, login: &str) {
        let add = self.command(&["user", "add", login, "--password-stdin"]).stdin(format!("{PASSWORD}\n"));
        add.run(DEADLINE).await.unwrap().expect_success();
    }

    /// The issuer, through the network.
    pub(crate) fn issuer(&self) -> String {
        self.proxy.url()
    }

    /// Where tokens are asked for, through the network.
    pub(crate) fn token_endpoint(&self) -> String {
        format!("{}/token", self.proxy.url())
    }

    /// SIGKILL, and the same server again on the same data folder and port: it takes the folder's lock.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.server.kill().await.unwrap();
        self.server.restart().await.unwrap();
    }

    /// Ends the server as an operator would, and returns all that it ever logged.
    pub(crate) async fn end(mut self) -> String {
        let status = self.server.terminate(DEADLINE).await.unwrap();
        assert!(status.success(), "the server ended with {status}");
        self.server.stderr_line("\"stopped\"", DEADLINE).await.unwrap();
        let log = self.server.stderr();
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

/// A user's machine: the folder where the command keeps its profiles.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The credentials of the default profile.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.path().join("perennial/default.json")
    }

    /// A command of this user.
    pub(crate) fn command(&self, args: &[&str]) -> Program {
        Program::perennial().unwrap().args(args).env("XDG_STATE_HOME", self.path()).current_dir(self.path())
    }

    /// Such a command, run to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Finished {
        self.command(args).run(DEADLINE).await.unwrap()
    }

    /// `perennial login`, with a person who opens the printed address and signs in.
    pub(crate) async fn log_in(&self, issuer: &str, client: &str) {
        let args = ["login", "--no-browser", "--client-id", client, issuer];
        let mut login = self.command(&args).start().unwrap();
        let address = login.stdout_line("/authorize?", DEADLINE).await.unwrap();
        let redirect_uri = url::Url::parse(&address)
            .unwrap()
            .query_pairs()
            .find_map(|(name, value)| (name == "redirect_uri").then(|| value.into_owned()))
            .unwrap();
        let mut browser = CookieClient::new();
        let back = browser.sign_in(&address, LOGIN, PASSWORD, &redirect_uri).await.unwrap();
        assert!(reqwest::get(back).await.unwrap().status().is_success());
        let status = login.wait(DEADLINE).await.unwrap();
        assert!(status.success(), "{status}: {}", login.stderr());
    }
}

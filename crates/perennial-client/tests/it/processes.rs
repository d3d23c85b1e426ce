//! Real processes on one credential file: many at once, and one that dies at each step of a refresh. The processes
//! are this test binary itself, asked to run `stands_in_for_a_process` alone.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use perennial_client::{FileStore, Session, SessionOptions, Store};
use tokio::process::Command;

use crate::fake_server::FakeServer;

const FILE: &str = "PERENNIAL_TEST_FILE";
const EXPECTS_TROUBLE: &str = "PERENNIAL_TEST_EXPECTS_TROUBLE";

/// Does nothing unless a test below started it in a process of its own: then it asks for a token and prints it.
#[tokio::test]
async fn stands_in_for_a_process() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let session = Session::open(Arc::new(FileStore::at(path)), SessionOptions::default()).await.unwrap();
    // Where a test expects an error it need not wait as long for it.
    let wait = if std::env::var_os(EXPECTS_TROUBLE).is_some() { 3_000 } else { 30_000 };
    match session.token_within(Duration::ZERO, Duration::from_millis(wait)).await {
        Ok(token) => println!("token={}", token.expose()),
        Err(error) => println!("error={error}"),
    }
}

async fn process(path: &Path, failpoint: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::stands_in_for_a_process", "--nocapture"]).env(FILE, path);
    if let Some(failpoint) = failpoint {
        command.env("PERENNIAL_FAILPOINT", failpoint);
    }
    command.output().await.unwrap()
}

fn token(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let token = text.split("token=").nth(1).and_then(|rest| rest.split_whitespace().next());
    token.unwrap_or_else(|| panic!("{output:?}")).to_owned()
}

fn store(server: &FakeServer, folder: &Path) -> FileStore {
    let store = FileStore::at(folder.join("default.json"));
    let lock = store.lock().unwrap();
    store.write(&lock, &server.imported()).unwrap();
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_four_processes_on_one_file_refresh_once() {
    let server = FakeServer::start(600).await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(&server, folder.path());
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let path = store.path().to_owned();
        processes.spawn(async move { token(&process(&path, None).await) });
    }
    let tokens = processes.join_all().await;
    assert!(tokens.iter().all(|token| token == "at-1"), "{tokens:?}");
    assert_eq!(server.model().refreshes, 1);
}

/// A limit on file sizes stands for a full disk: every write of the process fails, at the system call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_on_a_full_disk_sends_nothing_and_says_so() {
    let server = FakeServer::start(600).await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(&server, folder.path());
    let before = std::fs::read(store.path()).unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "processes::stands_in_for_a_process", "--nocapture"])
        .env(FILE, store.path())
        .env(EXPECTS_TROUBLE, "1")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("default.json cannot be written: File too large"), "{output:?}");
    assert_eq!(server.model().refreshes, 0);
    assert_eq!(std::fs::read(store.path()).unwrap(), before);
    assert!(!folder.path().join("default.json.new").exists());
    assert_eq!(token(&process(store.path(), None).await), "at-1");
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_dies_at_any_step_of_a_refresh_loses_nothing() {
    use std::os::unix::process::ExitStatusExt as _;
    let steps = [
        "before_key_stored",
        "after_key_stored",
        "before_send",
        "after_receive",
        "before_tokens_stored",
        "after_tokens_stored",
    ];
    for step in steps {
        let server = FakeServer::start(600).await;
        let folder = tempfile::tempdir().unwrap();
        let store = store(&server, folder.path());
        let died = process(store.path(), Some(step)).await;
        assert_eq!(died.status.signal(), Some(6), "{step}: {died:?}");
        // The lock of the dead is free, and the key it stored is used again.
        token(&process(store.path(), None).await);
        let stored = store.read(None).unwrap().unwrap();
        assert_eq!(stored.refresh_token().unwrap().expose(), "rt-1", "{step}");
        assert!(stored.retry_key.is_none());
        assert!(!server.model().two_keys, "{step}");
        assert_eq!(server.model().generation, 1, "{step}");
    }
}

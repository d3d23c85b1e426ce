//! Processes are waited for, suspended, killed and started again.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use perennial_testkit::process::{ProcessError, Program};

const DEADLINE: Duration = Duration::from_secs(30);

/// A shell script that is given `arguments` as $1, $2 and so on.
fn shell(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script, "sh"])
}

fn state(id: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[tokio::test]
async fn a_server_is_ready_at_the_address_that_it_says() {
    let script = "echo starting; echo \"ready http://localhost:4711\"; exec tail -f /dev/null";
    let server = shell(script).start_ready().await.unwrap();
    assert_eq!(server.url().as_str(), "http://localhost:4711/");
    assert_eq!(server.address().to_string(), "127.0.0.1:4711");
    assert!(server.stdout().starts_with("starting\n"));
}

#[tokio::test]
async fn a_server_that_ends_instead_says_why() {
    let failed = shell("echo the port is in use >&2; exit 1").start_ready().await.unwrap_err();
    assert!(matches!(failed, ProcessError::Ended { .. }));
    assert!(failed.to_string().contains("stderr: the port is in use"), "{failed}");
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named() {
    let failed = Program::new("/no/such/program").start().unwrap_err();
    assert!(failed.to_string().starts_with("program does not start"), "{failed}");
}

#[tokio::test]
async fn a_command_is_run_to_its_end() {
    let finished =
        shell("echo $GREETING $PWD; echo bad >&2; exit 7").env("GREETING", "hello").current_dir("/");
    let finished = finished.run(DEADLINE).await.unwrap();
    assert_eq!(finished.status.code(), Some(7));
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("hello /\n", "bad\n"));
}

#[tokio::test]
async fn a_command_reads_what_it_is_given() {
    let finished = shell("read line; echo \"read $line\"; cat").stdin("a\nb\n").run(DEADLINE).await.unwrap();
    assert_eq!(finished.expect_success(), "read a\nb\n");
}

#[tokio::test]
async fn a_command_that_never_ends_is_late() {
    let late =
        shell("echo working; exec tail -f /dev/null").run(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(late, ProcessError::Late { .. }), "{late}");
}

#[tokio::test]
async fn a_suspended_process_stands_still_until_it_is_resumed() {
    let mut process = shell("echo up; exec tail -f /dev/null").start().unwrap();
    process.stdout_line("up", DEADLINE).await.unwrap();
    let id = process.id().unwrap();
    process.suspend().await.unwrap();
    assert_eq!(state(id), 'T');
    process.resume().unwrap();
    assert_eq!(process.kill().await.unwrap().signal(), Some(9));
    assert_eq!(process.id(), None);
}

#[tokio::test]
async fn terminating_lets_a_process_finish() {
    let script = "trap 'echo bye; exit 3' TERM; echo up; tail -f /dev/null & wait";
    let mut process = shell(script).start().unwrap();
    process.stdout_line("up", DEADLINE).await.unwrap();
    assert_eq!(process.terminate(DEADLINE).await.unwrap().code(), Some(3));
    process.stdout_line("bye", DEADLINE).await.unwrap();
}

#[tokio::test]
async fn killing_takes_the_whole_group_along() {
    let mut process = shell("tail -f /dev/null & echo up; wait").start().unwrap();
    process.stdout_line("up", DEADLINE).await.unwrap();
    process.kill().await.unwrap();
    // The output ends only when nobody of the group can write any more.
    let ended = process.stdout_line("never", DEADLINE).await.unwrap_err();
    assert!(matches!(ended, ProcessError::Ended { .. }), "{ended}");
}

#[tokio::test]
async fn a_restart_listens_on_the_port_that_was_given_the_first_time() {
    let script = r#"echo "listen $2"; echo ready http://localhost:4711; exec tail -f /dev/null"#;
    let mut server = shell(script).args(["--listen", "127.0.0.1:0"]).start_ready().await.unwrap();
    let first = server.id();
    server.restart().await.unwrap();
    assert_ne!(server.id(), first);
    assert!(server.stdout().contains("listen 127.0.0.1:0\n"));
    assert!(server.stdout().contains("listen 127.0.0.1:4711\n"));
}

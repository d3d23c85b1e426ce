//! `perennial dev` as somebody runs it who has just cloned the repository.

use std::time::Duration;

use perennial_testkit::process::Program;

use crate::world::DEADLINE;

fn dev(args: &[&str]) -> Program {
    Program::perennial().unwrap().args(["dev", "--listen", "127.0.0.1:0"]).args(args)
}

#[tokio::test]
async fn dev_for_a_while_ends_with_a_summary_and_no_interruption() {
    let ended = dev(&["--for", "12s"]).run(Duration::from_secs(90)).await.unwrap();
    let said = ended.expect_success();
    assert!(said.starts_with("Perennial dev"), "{said}");
    let head = said.lines().find(|line| line.starts_with("after 00:1")).unwrap_or_else(|| panic!("{said}"));
    assert!(head.contains("Perennial") && head.contains("plain client, strict"), "{said}");
    assert_eq!(said.lines().last(), Some("interruptions: 0"), "{said}");
    let calls = said.lines().find_map(|line| line.strip_prefix("calls made")).unwrap();
    let calls: u64 = calls.split_whitespace().next().unwrap().parse().unwrap();
    assert!(calls > 20, "{said}");
}

#[tokio::test]
async fn dev_ends_cleanly_when_it_is_told_to() {
    for args in [&["--no-demo-traffic"][..], &["--devices", "2"]] {
        let mut dev = dev(args).start_ready().await.unwrap();
        let status = dev.terminate(DEADLINE).await.unwrap();
        assert!(status.success(), "{args:?} ended with {status}: {}{}", dev.stdout(), dev.stderr());
    }
}

#[tokio::test]
async fn dev_finds_its_data_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for start in ["first", "second"] {
        let mut dev = dev(&["--no-demo-traffic", "--data", data]).start_ready().await.unwrap();
        let status = dev.terminate(DEADLINE).await.unwrap();
        assert!(status.success(), "the {start} ended with {status}: {}{}", dev.stdout(), dev.stderr());
    }
}

#[tokio::test]
async fn dev_refuses_a_seed_that_is_none() {
    let ended = dev(&["--seed", "tuesday"]).run(DEADLINE).await.unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert_eq!(
        ended.stderr.trim_end(),
        "perennial: `tuesday` is no seed: give a number, or 0x and hexadecimal digits"
    );
}

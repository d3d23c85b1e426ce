//! What the server's log says that it decided: the one witness that saw every presentation of every token.

use std::collections::HashMap;

use serde_json::Value;

/// One line `decided`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) sid: String,
    /// The generation that was presented.
    pub(crate) presented: u64,
    /// The row's generation after the decision.
    pub(crate) generation: u64,
    pub(crate) reason: String,
    pub(crate) issued: bool,
}

/// All decisions, in the order of the log. A line that a kill has torn is none.
pub(crate) fn decisions(log: &str) -> Vec<Decided> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "decided").filter_map(|line| read(&line)).collect()
}

fn read(line: &Value) -> Option<Decided> {
    Some(Decided {
        sid: line["sid"].as_str()?.to_owned(),
        presented: line["presented"].as_u64()?,
        generation: line["generation"].as_u64()?,
        reason: line["reason"].as_str()?.to_owned(),
        issued: line["outcome"] == "issued",
    })
}

/// The reasons of all decisions on tokens of this generation, for a log of one session.
pub(crate) fn reasons(log: &str, presented: u32) -> Vec<String> {
    let of = decisions(log).into_iter().filter(|decided| decided.presented == u64::from(presented));
    of.map(|decided| decided.reason).collect()
}

/// Every generation of every session had one successor (INV-1), none was made anew after it had been acknowledged
/// (INV-7: a row that forgot a rotation would rotate twice, or be carried forward by the client's token), and nobody
/// was refused but with a stale token that its holder had already replaced.
#[track_caller]
pub(crate) fn assert_one_successor_each(log: &str) -> Vec<Decided> {
    let all = decisions(log);
    let mut rotations = HashMap::new();
    for decided in &all {
        let is_next = decided.generation == decided.presented + 1;
        match decided.reason.as_str() {
            "redeemed" | "rotated" => {
                let before = rotations.insert((&decided.sid, decided.presented), decided);
                assert_eq!(before, None, "rotated twice: {decided:?}");
                assert!(decided.issued && is_next, "{decided:?}");
            }
            "replayed_by_retry_key" | "replayed_for_sibling" | "replayed_late" => {
                assert!(decided.issued && is_next, "{decided:?}");
            }
            "stale_by_retry_key" | "stale_by_old_retry_key" => assert!(!decided.issued, "{decided:?}"),
            _ => panic!("{decided:?}"),
        }
    }
    all
}

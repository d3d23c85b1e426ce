//! What a text search can see: unfinished work, files too long to read, folders that say nothing, an impure core.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::steps::{Failed, asked};

/// Longer sources cannot be read in one sitting.
const LONGEST_FILE_LINES: usize = 600;

/// The endings of files that people write and that are read as sources here.
const SOURCES: [&str; 9] = ["rs", "toml", "html", "css", "js", "mjs", "ts", "sh", "sql"];

/// Words of unfinished work, each in two parts so that this list does not find itself. Case counts.
const UNFINISHED: [&str; 8] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("in a ", "real "),
    concat!("for ", "now"),
];

/// An attribute of HTML, a selector of CSS, and otherwise something that was never finished.
const STAND_IN: &str = concat!("place", "holder");

/// Names that say where code was put and not what it is about.
const EMPTY_NAMES: [&str; 4] = ["utils", "helpers", "common", "types"];

/// What the core gets as parameters instead: time, randomness, files, sockets, a runtime.
const IMPURE: [&str; 11] = [
    "tokio",
    "SystemTime",
    "Instant",
    "std::fs",
    "std::net",
    "std::env",
    "std::io",
    "std::thread",
    "getrandom",
    "async fn",
    ".await",
];

/// One line that is not tidy.
#[derive(Debug, PartialEq, Eq)]
struct Untidy {
    file: PathBuf,
    line: usize,
    why: String,
}

impl fmt::Display for Untidy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.why)
    }
}

/// Reads every file that git has or would take.
pub(crate) fn check(root: &Path) -> Result<(), Failed> {
    let files = asked(root, "git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut untidy = Vec::new();
    for file in files.lines().map(Path::new) {
        // A file that was deleted and not yet committed is listed, and gone.
        if let Ok(text) = std::fs::read_to_string(root.join(file)) {
            untidy.extend(read(file, &text));
        }
    }
    if untidy.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = untidy.iter().map(Untidy::to_string).collect();
    Err(Failed::new(lines.join("\n"), "finish it, or say it in other words"))
}

/// All that is untidy in one file.
fn read(file: &Path, text: &str) -> Vec<Untidy> {
    let mut found = Vec::new();
    let mut add = |line: usize, why: String| found.push(Untidy { file: file.to_owned(), line, why });
    if let Some(name) = empty_name(file) {
        add(1, format!("`{name}` says nothing: name it after its subject"));
    }
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !SOURCES.contains(&ending) {
        return found;
    }
    let length = text.lines().count();
    if length > LONGEST_FILE_LINES {
        add(length, format!("{length} lines, more than {LONGEST_FILE_LINES}: split it by subject"));
    }
    let pure = file.starts_with("crates/perennial-core/src");
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(word) = unfinished(line) {
            add(number, format!("`{word}` tells of unfinished work"));
        }
        let code = line.split("//").next().unwrap_or_default();
        if let Some(word) = IMPURE.iter().find(|word| pure && code.contains(**word)) {
            add(number, format!("`{word}` in the core, which takes it as a parameter"));
        }
    }
    found
}

fn empty_name(file: &Path) -> Option<&str> {
    let parts = file.iter().filter_map(|part| part.to_str());
    parts.map(|part| part.split('.').next().unwrap_or(part)).find(|name| EMPTY_NAMES.contains(name))
}

fn unfinished(line: &str) -> Option<&'static str> {
    if let Some(word) = UNFINISHED.iter().find(|word| holds_word(line, word)) {
        return Some(word);
    }
    let (before, after) = line.split_once(STAND_IN)?;
    let belongs = after.starts_with('=') || before.ends_with("::") || before.ends_with(['"', '\'']);
    (!belongs).then_some(STAND_IN)
}

/// Whether the line holds it, not as a part of a longer word.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !goes_on(before) && (!goes_on(after) || word.ends_with([' ', '(']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whys(file: &str, text: &str) -> Vec<usize> {
        read(Path::new(file), text).iter().map(|untidy| untidy.line).collect()
    }

    #[test]
    fn this_repository_is_tidy() {
        check(&crate::repository()).map_err(|failed| failed.to_string()).unwrap();
    }

    #[test]
    fn unfinished_work_is_found_in_sources() {
        for word in UNFINISHED {
            assert_eq!(whys("crates/a/src/b.rs", &format!("fine\n// {word} x")), [2], "{word}");
        }
        assert_eq!(whys("a.rs", &format!("// a {STAND_IN}")), [1]);
        assert_eq!(whys("notes.md", &format!("no {} here", UNFINISHED[0])), []);
    }

    #[test]
    fn innocent_lines_are_left_alone() {
        assert_eq!(whys("a.html", &format!("<input {STAND_IN}=\"x\">")), []);
        assert_eq!(whys("a.css", &format!("input::{STAND_IN} {{ color: red }}")), []);
        assert_eq!(whys("a.rs", concat!("for ", "nowhere; MAST", "ODON")), []);
    }

    #[test]
    fn long_files_and_empty_names_are_found() {
        assert_eq!(whys("a.rs", &"x\n".repeat(600)), []);
        assert_eq!(whys("a.rs", &"x\n".repeat(601)), [601]);
        assert_eq!(whys("crates/a/src/utils/b.rs", ""), [1]);
        assert_eq!(whys("crates/a/src/types.rs", ""), [1]);
        assert_eq!(whys("crates/a/src/commonplace.rs", ""), []);
    }

    #[test]
    fn the_core_must_not_read_clocks_files_or_chance() {
        let clock = "let now = SystemTime::now(); // said plainly\n// SystemTime is not read here";
        assert_eq!(whys("crates/perennial-core/src/a.rs", clock), [1]);
        assert_eq!(whys("crates/perennial-store/src/a.rs", clock), []);
    }
}

//! The arrows between the crates point one way, the core stays pure, and no TLS but rustls gets in.
//!
//! Cargo itself is asked, so a dependency that hides behind a feature or another crate is found too.

use std::collections::BTreeSet;
use std::path::Path;

use crate::steps::{Failed, asked, cargo};

/// Which of our crates each of our libraries may build on (design: core knows nobody; the binary wires).
const ARROWS: [(&str, &[&str]); 7] = [
    ("perennial-core", &[]),
    ("perennial-store", &["perennial-core"]),
    ("perennial-client", &[]),
    ("perennial-verify", &[]),
    ("perennial-server", &["perennial-core", "perennial-store"]),
    // Its worlds draw from the same seeds as the tests.
    ("perennial-sim", &["perennial-core", "perennial-store", "perennial-client", "perennial-testkit"]),
    ("perennial-testkit", &[]),
];

/// Crates that bring a runtime, randomness, sockets or files: the core gets all of that as parameters.
const IMPURE: [&str; 8] = ["tokio", "getrandom", "rand", "rand_core", "mio", "rustix", "libc", "tracing"];

/// TLS is rustls. `openssl-probe` only finds certificates and is none.
const OTHER_TLS: [&str; 5] = ["openssl", "openssl-sys", "native-tls", "tokio-native-tls", "hyper-tls"];

/// Asks Cargo for the graph and compares.
pub(crate) fn check(root: &Path) -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for (from, allowed) in ARROWS {
        let ours = tree(root, &["--package", from, "--depth", "1"])?;
        let ours = ours.iter().filter(|name| name.starts_with("perennial") && *name != from);
        let forbidden = ours.filter(|to| !allowed.contains(&to.as_str()));
        wrong.extend(forbidden.map(|to| format!("{from} builds on {to}")));
    }
    let core = tree(root, &["--package", "perennial-core"])?;
    let impure = IMPURE.iter().filter(|name| core.contains(**name));
    wrong.extend(impure.map(|name| format!("perennial-core builds on {name}, and must stay pure")));
    let all = tree(root, &["--workspace", "--edges", "normal,build,dev", "--target", "all"])?;
    let other_tls = OTHER_TLS.iter().filter(|name| all.contains(**name));
    wrong.extend(other_tls.map(|name| format!("{name} is in the tree (see cargo tree --invert {name})")));

    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failed::new(wrong.join("\n"), "move the code to the crate where it belongs, or drop the dependency"))
}

/// The names of the crates in a dependency tree with all features.
fn tree(root: &Path, which: &[&str]) -> Result<BTreeSet<String>, Failed> {
    let mut args = vec!["tree", "--all-features", "--prefix", "none", "--format", "{p}"];
    if !which.contains(&"--edges") {
        args.extend(["--edges", "normal"]);
    }
    args.extend(which);
    let lines = asked(root, &cargo(), &args)?;
    Ok(lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> std::path::PathBuf {
        crate::repository()
    }

    #[test]
    fn the_arrows_of_this_repository_point_one_way() {
        check(&root()).map_err(|failed| failed.to_string()).unwrap();
    }

    #[test]
    fn a_tree_names_a_crate_and_all_below_it() {
        let store = tree(&root(), &["--package", "perennial-store"]).unwrap();
        assert!(store.contains("perennial-store") && store.contains("perennial-core"));
        assert!(store.contains("tokio"), "what the core must not have is found where it is");
    }

    #[test]
    fn every_library_has_its_arrows_named() {
        let crates = std::fs::read_dir(root().join("crates")).unwrap();
        for folder in crates {
            let name = folder.unwrap().file_name().into_string().unwrap();
            let known = name == "perennial" || ARROWS.iter().any(|(from, _)| *from == name);
            assert!(known, "say in ARROWS what {name} may build on");
        }
    }
}

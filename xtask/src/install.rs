//! What tests need and a fresh machine lacks: said, then installed through the system's own package managers.

use std::path::Path;

use crate::steps::{Failed, Step, asked};

/// openid-client and node's own test runner, as they are used, ask for this one.
const OLDEST_NODE: u32 = 20;

/// Chromium and its driver, from Debian's packages.
pub(crate) fn chromium(step: &Step) -> Result<(), Failed> {
    let missing: Vec<&str> = [
        ("/usr/bin/chromium", "chromium"),
        ("/usr/bin/chromedriver", "chromium-driver"),
        // Without a font Chromium draws pages without a letter, and pictures of them say nothing.
        ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core"),
    ]
    .into_iter()
    .filter_map(|(file, package)| (!Path::new(file).exists()).then_some(package))
    .collect();
    if missing.is_empty() {
        println!("chromium and chromedriver are there");
        return Ok(());
    }
    debian(step, &missing, "the sign-in tests drive a real browser")
}

/// Node.js with npm.
pub(crate) fn node(step: &Step) -> Result<(), Failed> {
    let root = Path::new(".");
    if asked(root, "npm", &["--version"]).is_err() {
        debian(step, &["nodejs", "npm"], "openid-client, a peer that must work unmodified, runs on Node.js")?;
    }
    let version = asked(root, "node", &["--version"])?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    match major {
        Some(OLDEST_NODE..) => {
            println!("node {} is there", version.trim());
            Ok(())
        }
        Some(_) | None => Err(Failed::new(
            format!("Node.js is {}, and the peers need {OLDEST_NODE} or newer", version.trim()),
            "install a newer one by hand",
        )),
    }
}

/// What tests/peers/package-lock.json names, exactly.
pub(crate) fn npm_packages(step: &Step, folder: &Path) -> Result<(), Failed> {
    let changed = |file: &Path| file.metadata().and_then(|metadata| metadata.modified()).ok();
    let (wanted, installed) = (
        changed(&folder.join("package-lock.json")),
        changed(&folder.join("node_modules/.package-lock.json")),
    );
    if installed.is_some() && installed >= wanted {
        println!("the npm packages of tests/peers are there");
        return Ok(());
    }
    println!("the npm packages of tests/peers are missing or old: installing what their lock file names");
    step.command("npm", &["ci", "--no-audit", "--no-fund"], |npm| {
        npm.current_dir(folder);
    })
}

fn debian(step: &Step, packages: &[&str], why: &str) -> Result<(), Failed> {
    let list = packages.join(" ");
    let by_hand = format!("install them by hand (Debian: apt-get install {list}) and run this again");
    println!("missing: {list} ({why})");
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(Failed::new(format!("{list}: missing, and there is no apt-get here"), by_hand));
    }
    if asked(Path::new("."), "id", &["-u"])?.trim() != "0" {
        return Err(Failed::new(format!("{list}: missing, and only root can install packages"), by_hand));
    }
    println!("installing them with apt-get");
    step.command("apt-get", &["update", "-qq"], |_| {})?;
    let install = [&["install", "-y", "-qq", "--no-install-recommends"], packages].concat();
    step.command("apt-get", &install, |apt| {
        apt.env("DEBIAN_FRONTEND", "noninteractive");
    })
}

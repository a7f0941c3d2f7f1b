//! What the gateway is built from: the part of `deny.toml` that needs no other tool.
//!
//! `cargo deny` reads the same file and knows more (advisories); it takes minutes to build, so a
//! test run does not depend on it. Here: only crates of crates.io, only licences of the list, none
//! of the banned crates, so that there is one TLS backend.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every crate that is built, tests included: its name with what follows, and its licence.
fn crates() -> BTreeSet<(String, String)> {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once('|'));
    lines
        .map(|(name, licence)| (name.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
        .collect()
}

/// The texts of a list in `deny.toml`, from `key = [` to `]`.
fn list(key: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let start = text.find(&format!("\n{key} = [")).unwrap_or_else(|| panic!("no list {key}"));
    let end = start + text[start..].find("\n]").unwrap();
    let lines = text[start..end].lines().map(|line| line.split('#').next().unwrap());
    let quoted = |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    lines.flat_map(|line| -> Vec<String> { quoted(line) }).collect()
}

/// Whether an SPDX expression is satisfied by these licences.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let alone = |text: &str| {
        let text = text.trim().trim_matches(['(', ')']).trim();
        allowed.iter().any(|licence| licence == text)
    };
    let any = |text: &str| text.replace('/', " OR ").split(" OR ").any(alone);
    expression.split(" AND ").all(any)
}

#[test]
fn every_crate_comes_from_crates_io_under_a_licence_of_the_list() {
    let allowed = list("allow");
    assert!(allowed.iter().any(|l| l == "MIT"), "{allowed:?}");
    let crates = crates();
    assert!(crates.len() > 50, "{} crates were looked at", crates.len());
    for (name, licence) in crates {
        if name.starts_with(env!("CARGO_PKG_NAME")) {
            continue;
        }
        // A path or a repository would stand behind the version, in parentheses.
        let extra = name.split(' ').nth(2).unwrap_or("(proc-macro)");
        assert_eq!(extra, "(proc-macro)", "{name} does not come from the registry");
        assert!(satisfied(&licence, &allowed), "{name}: «{licence}» is not in deny.toml");
    }
}

#[test]
fn there_is_one_tls_backend_and_no_banned_crate() {
    let crates = crates();
    let names: BTreeSet<&str> =
        crates.iter().filter_map(|(name, _)| name.split(' ').next()).collect();
    for banned in ["ring", "openssl", "openssl-sys", "native-tls", "boring", "mbedtls"] {
        assert!(!names.contains(banned), "{banned} is in the tree");
    }
    assert!(names.contains("aws-lc-rs"));
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
    for (expression, good) in [
        ("MIT", true),
        ("MIT OR Apache-2.0", true),
        ("Apache-2.0/MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("GPL-3.0", false),
        ("MIT AND GPL-3.0", false),
        ("", false),
    ] {
        assert_eq!(satisfied(expression, &allowed), good, "{expression}");
    }
}

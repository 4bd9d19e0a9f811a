//! Keeps ARCHITECTURE.md true: reads the manifests and the source tree and compares them with the map. Compiles nothing
//! of the other rooms, so it also says what is wrong when they do not compile.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// Which rooms a room may use. All arrows point down in the drawing; what is not here, no manifest may say.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["api", "dashboard", "service", "delivery", "filters", "outbound", "platforms", "store", "domain"]),
    ("api", &["service", "domain"]),
    ("dashboard", &["service", "domain"]),
    ("service", &["platforms", "store", "domain"]),
    ("delivery", &["outbound", "platforms", "store", "domain"]),
    ("filters", &["outbound", "platforms", "store", "domain"]),
    ("outbound", &["domain"]),
    ("platforms", &["domain"]),
    ("store", &["domain"]),
    ("domain", &[]),
    // Stands on the other side of the wire; the rooms use it in their tests.
    ("testkit", &["domain"]),
];

/// Which rooms a room may use in its tests, beside `testkit`: the API is tried over the real store, without an engine.
const IN_TESTS: &[(&str, &str)] = &[("api", "store")];

/// Crates that only some rooms may use, and the rooms that may.
const RESERVED: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("refinery", &["store"]),
    ("tokio-postgres", &["store"]),
    // Whoever has these can open a connection: `outbound` for what is sent, `cli` for its own commands, `store` for TLS to
    // PostgreSQL and for nothing that a user could name.
    ("hickory-resolver", &["outbound"]),
    ("rustls", &["outbound", "cli", "store", "testkit"]),
    ("tokio-rustls", &["outbound", "cli", "store", "testkit"]),
    ("rustls-platform-verifier", &["outbound", "cli", "store"]),
    ("hyper-util", &["outbound", "cli"]),
    ("aws-sdk-sqs", &["outbound"]),
    ("aws-config", &["outbound"]),
    ("axum", &["api", "dashboard", "cli"]),
    ("utoipa", &["api"]),
    ("askama", &["dashboard"]),
    ("clap", &["cli"]),
    ("jsonwebtoken", &["service", "cli"]),
];

/// All that `domain` may use: nothing that does I/O, nothing asynchronous.
const DOMAIN_MAY_USE: &[&str] =
    &["base64", "bytes", "idna_adapter", "indexmap", "jiff", "serde", "serde_json", "thiserror", "url"];

/// What must not stand in `domain`'s source.
const NOT_IN_DOMAIN: &[&str] = &[
    "async fn",
    "async move",
    ".await",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "SystemTime",
    "::now()",
    "println!",
];

/// The tables of a manifest that name other crates.
const KINDS: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

/// Lines of a file at most: more is more than one thing.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Folders below `crates`.
fn rooms() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("crates")).unwrap().map(|e| e.unwrap());
    entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().into_string().unwrap()).collect()
}

fn manifest(room: &str) -> Table {
    text(root().join("crates").join(room).join("Cargo.toml")).parse().unwrap_or_else(|e| panic!("{room}: {e}"))
}

/// What stands in one table of dependencies, also in those for one target only.
fn dependencies(manifest: &Table, kind: &str) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.map(|t| t.get(kind)).chain([manifest.get(kind)]);
    tables.flatten().filter_map(Value::as_table).flat_map(Table::keys).cloned().collect()
}

/// All files with this ending below a folder.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry, ending));
        } else if entry.to_string_lossy().ends_with(ending) {
            found.push(entry);
        }
    }
    found
}

/// Where in the tree, and which line counted from 0, for complaints.
fn at(file: &Path, line: usize) -> String {
    format!("{}:{}", file.strip_prefix(root()).unwrap().display(), line + 1)
}

/// Lines that are not comments, with their places.
fn code(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Fails with all complaints at once.
#[track_caller]
fn nothing(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The rooms of the table with the columns "Room", "The only one with", "Must never".
fn rooms_of_the_table() -> BTreeSet<String> {
    let architecture = text(root().join("ARCHITECTURE.md"));
    let rows = architecture.lines().skip_while(|l| !l.starts_with("| Room |")).skip(2);
    let rows = rows.take_while(|l| l.starts_with('|'));
    rows.map(|row| row.split('|').nth(1).unwrap().trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn the_table_of_rooms_is_what_is_there() {
    let mut there = rooms();
    assert!(there.remove("testkit"));
    assert_eq!(rooms_of_the_table(), there, "left: ARCHITECTURE.md, right: ls crates");
    let declared: BTreeSet<String> = ARROWS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(declared, rooms(), "left: ARROWS in this file, right: ls crates");
}

#[test]
fn arrows_point_down_in_the_drawing() {
    let architecture = text(root().join("ARCHITECTURE.md"));
    // The drawing is the first block of code; rules part its floors.
    let drawing = architecture.split("```").nth(1).unwrap();
    let floors: Vec<&str> = drawing.split("──\n").collect();
    let floor_of = |room: &str| {
        let found = floors.iter().position(|f| f.split_whitespace().any(|w| w == room));
        found.unwrap_or_else(|| panic!("{room} is not in the drawing"))
    };
    for (room, uses) in ARROWS.iter().filter(|(room, _)| *room != "testkit") {
        for below in *uses {
            assert!(floor_of(room) < floor_of(below), "{room} → {below} does not point down");
        }
    }
}

#[test]
fn rooms_use_only_the_rooms_that_they_may() {
    let (rooms, mut complaints) = (rooms(), Vec::new());
    for (room, may) in ARROWS {
        let manifest = manifest(room);
        for kind in KINDS {
            for used in dependencies(&manifest, kind).intersection(&rooms) {
                let for_tests = used == "testkit" || used == room || IN_TESTS.contains(&(room, used));
                let in_tests = kind == "dev-dependencies" && for_tests;
                if !in_tests && !may.contains(&used.as_str()) {
                    complaints.push(format!("crates/{room}/Cargo.toml: {kind} must not have {used}"));
                }
            }
        }
    }
    nothing(complaints);
}

#[test]
fn crates_that_open_doors_are_used_only_where_the_door_is() {
    let mut complaints = Vec::new();
    for room in rooms() {
        let used = dependencies(&manifest(&room), "dependencies");
        for (name, may) in RESERVED {
            if used.contains(*name) && !may.contains(&room.as_str()) {
                complaints.push(format!("crates/{room}/Cargo.toml: {name} is for {} only", may.join(", ")));
            }
        }
    }
    nothing(complaints);
}

#[test]
fn the_domain_does_no_io_and_waits_for_nothing() {
    let mut complaints: Vec<String> = dependencies(&manifest("domain"), "dependencies")
        .iter()
        .filter(|d| !DOMAIN_MAY_USE.contains(&d.as_str()))
        .map(|d| format!("crates/domain/Cargo.toml: {d} is not in DOMAIN_MAY_USE; does it do I/O or wait?"))
        .collect();
    for file in files(&root().join("crates/domain/src"), ".rs") {
        for (i, line) in code(&text(&file)) {
            for word in NOT_IN_DOMAIN.iter().filter(|w| line.contains(**w)) {
                complaints.push(format!("{}: {word}", at(&file, i)));
            }
        }
    }
    nothing(complaints);
}

#[test]
fn no_file_is_long() {
    let crates = root().join("crates");
    let lines = |file: &PathBuf| text(file).lines().count();
    let long = files(&crates, ".rs").into_iter().chain(files(&crates, ".sql")).filter(|f| lines(f) > LINES_MAX);
    nothing(long.map(|f| format!("{}: {} lines, at most {LINES_MAX}", f.display(), lines(&f))).collect());
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut complaints = Vec::new();
    for room in rooms() {
        let source = root().join("crates").join(&room).join("src");
        assert!(source.join("lib.rs").exists() || source.join("main.rs").exists(), "{room} has no root");
        for file in files(&source, ".rs") {
            if !text(&file).starts_with("//! ") {
                complaints.push(format!("{}: must begin with what it is for (//! …)", at(&file, 0)));
            }
        }
    }
    nothing(complaints);
}

#[test]
fn every_room_keeps_to_the_workspace() {
    let mut complaints = Vec::new();
    for room in rooms() {
        let manifest = manifest(&room);
        // The lints forbid unsafe code, and unwrap, todo and dbg outside of tests.
        let lints = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(Value::as_bool);
        if lints != Some(true) {
            complaints.push(format!("crates/{room}/Cargo.toml: [lints] workspace = true is missing"));
        }
        if manifest["package"].get("name").and_then(Value::as_str) != Some(room.as_str()) {
            complaints.push(format!("crates/{room}/Cargo.toml: the crate must be named like its folder"));
        }
        for table in KINDS.iter().filter_map(|kind| manifest.get(*kind)?.as_table()) {
            for (name, value) in table {
                let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
                if !inherited && *name != room {
                    complaints.push(format!("crates/{room}/Cargo.toml: {name} takes its version from the workspace"));
                }
            }
        }
    }
    nothing(complaints);
}

#[test]
fn what_the_workspace_names_is_used() {
    let workspace: Table = text(root().join("Cargo.toml")).parse().unwrap();
    let named = workspace["workspace"]["dependencies"].as_table().unwrap();
    let manifests: Vec<Table> = rooms().iter().map(|room| manifest(room)).collect();
    let used: BTreeSet<String> =
        manifests.iter().flat_map(|m| KINDS.map(|kind| dependencies(m, kind))).flatten().collect();
    nothing(named.keys().filter(|d| !used.contains(*d)).map(|d| format!("Cargo.toml: nobody uses {d}")).collect());
}

#[test]
fn a_panic_outside_of_tests_says_why_it_cannot_happen() {
    // Clippy refuses `unwrap`, `todo` and `dbg`. What is left is `expect` and its like: their texts are the reason, so
    // they are sentences.
    const PANICS: &[&str] = &[".expect(", "unreachable!(", "panic!(", "unimplemented!("];
    let mut complaints = Vec::new();
    for room in rooms().into_iter().filter(|r| r != "testkit") {
        for file in files(&root().join("crates").join(&room).join("src"), ".rs") {
            // A suite for tests that is compiled as part of a room is a test too.
            // Modules that are compiled for tests only.
            let tests_only = ["conformance", "tests.rs", "samples.rs"];
            if file.components().any(|c| tests_only.iter().any(|t| c.as_os_str() == *t)) {
                continue;
            }
            let source = text(&file);
            for (i, line) in code(source.split("#[cfg(test)]\nmod ").next().unwrap()) {
                for word in PANICS {
                    let Some((_, rest)) = line.split_once(word) else { continue };
                    if rest.split('"').nth(1).is_none_or(|reason| reason.split_whitespace().count() < 3) {
                        complaints.push(format!("{}: {word}…) does not say why", at(&file, i)));
                    }
                }
            }
        }
    }
    nothing(complaints);
}

#[test]
fn the_checks_read_what_they_are_meant_to_read() {
    let table: Table =
        "[dependencies]\na = 1\n[target.x.dependencies]\nb = 1\n[dev-dependencies]\nc = 1".parse().unwrap();
    assert_eq!(dependencies(&table, "dependencies"), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(dependencies(&table, "dev-dependencies"), BTreeSet::from(["c".to_owned()]));
    assert!(rooms_of_the_table().contains("domain") && files(&root().join("crates"), ".rs").len() > 50);
}

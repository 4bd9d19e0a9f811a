//! Commands that come to an end by themselves.

use crate::process::Home;
use std::os::unix::fs::PermissionsExt as _;

fn failure(home: &Home, args: &[&str]) -> (i32, String) {
    let output = home.run(args);
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn token_prints_a_token_and_nothing_else() {
    let home = Home::new();
    let output = home.run(&["token"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(token.matches('\n').count(), 1);
    assert_eq!(token.trim_end().split('.').count(), 3);
    assert_ne!(home.says(&["token", "org_other"]), token.trim_end());
    let files: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|f| f.unwrap()).collect();
    assert_eq!(files.len(), 1, "only the secret is made");
    assert_eq!(files[0].file_name(), "schoolbell.db.jwt-secret");
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn sign_in_prints_a_link_to_the_servers_address_and_nothing_else() {
    let home = Home::new();
    let link = home.says(&["sign-in"]);
    assert!(link.starts_with("http://127.0.0.1:8484/sign-in?token=ey"), "{link}");
    assert_ne!(home.says(&["sign-in"]), link, "each link is one of its own");
    let link = home.says(&["sign-in", "--public-url", "https://bell.example.org"]);
    assert!(link.starts_with("https://bell.example.org/sign-in?token=ey"), "{link}");
    assert_eq!(failure(&home, &["sign-in", "acme"]).0, 2);
}

#[test]
fn a_token_of_no_organization_is_refused() {
    let (code, problem) = failure(&Home::new(), &["token", "acme"]);
    assert_eq!(code, 2);
    assert!(problem.contains("'acme' is not an organization"), "{problem}");
}

#[test]
fn a_wrong_setting_is_named_with_its_place_and_what_would_be_right() {
    let home = Home::new();
    let (code, problem) = failure(&home, &["serve", "--request-timeout", "soon"]);
    assert_eq!(code, 2);
    assert!(
        problem.starts_with("schoolbell: REQUEST_TIMEOUT cannot be 'soon' (given by --request-timeout): use a number")
    );

    home.write("schoolbell.toml", "retry_shedule = \"5s\"\n");
    let (code, problem) = failure(&home, &["serve"]);
    assert_eq!(code, 2);
    assert_eq!(problem.lines().count(), 1);
    assert!(
        problem
            .contains("schoolbell.toml, line 1: there is no setting 'retry_shedule'. Did you mean 'retry_schedule'?")
    );

    let (code, problem) = failure(&home, &["serve", "--no-such-thing"]);
    assert_eq!(code, 2);
    assert!(problem.contains("--no-such-thing"), "{problem}");
}

#[test]
fn a_database_that_cannot_be_reached_is_told_without_its_password() {
    let (code, problem) = failure(&Home::new(), &["serve", "--database", "postgres://me:pass-word@127.0.0.1:1/x"]);
    assert_ne!(code, 0);
    assert!(problem.contains("refused") && !problem.contains("pass-word"), "{problem}");
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let home = Home::new();
    home.says(&["token"]);
    let path = home.path().join("schoolbell.db.jwt-secret");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, problem) = failure(&home, &["token"]);
    assert_eq!(code, 2);
    assert!(problem.contains("chmod 600 schoolbell.db.jwt-secret"), "{problem}");
}

#[test]
fn version_and_help_speak_for_themselves() {
    let home = Home::new();
    assert_eq!(home.says(&["--version"]), concat!("schoolbell ", env!("CARGO_PKG_VERSION")));
    let help = home.says(&["--help"]);
    for command in ["demo", "serve", "token", "listen", "send"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    let help = home.says(&["serve", "--help"]);
    for setting in ["--listen", "--retry-schedule", "SCHOOLBELL_ALLOW_SUBNETS", "[default: 15s; env:"] {
        assert!(help.contains(setting), "{setting} in {help}");
    }
}

#[test]
fn send_says_what_is_wrong_before_it_calls() {
    let home = Home::new();
    let (code, problem) = failure(&home, &["send", "a", "b", "--data", "nothing.json"]);
    assert_eq!(code, 2);
    assert!(problem.contains("--data: nothing.json cannot be read"), "{problem}");
    home.write("list.json", "[1]");
    let (code, problem) = failure(&home, &["send", "a", "b", "--data", "list.json"]);
    assert_eq!((code, problem.contains("has to hold a JSON object")), (2, true));
    home.write("good.json", "{}");
    let (code, problem) = failure(&home, &["send", "a", "b", "--data", "good.json", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(problem.contains("no server can be reached at http://127.0.0.1:1"), "{problem}");
}

//! The demo, as a newcomer runs it.

use crate::process::Home;

#[test]
fn the_demo_delivers_and_cleans_up() {
    let home = Home::new();
    let scratch = home.path().join("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let mut command = home.command(&["demo", "--for", "5s", "--rate", "40"]);
    let output = command.env("TMPDIR", &scratch).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();

    assert!(text.starts_with("Schoolbell listens on http://127.0.0.1:"), "{text}");
    for part in
        ["/docs", "export SCHOOLBELL_TOKEN=ey", "/msg/ -H", "Repl.it", "Teachstack", "Open edX", "Canvas", "Instruqt"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let delivered = text.lines().filter(|l| l.contains("✓ 204")).count();
    assert!(delivered > 50, "{delivered} deliveries in {text}");
    assert!(text.contains("✗ 503") && text.contains("  try 2"), "a retry is seen in {text}");
    // With its mark: the number alone may be part of a port or a time.
    assert!(!text.contains("✗ 401"), "every signature is right: {text}");
    // What failed in the last moments may still wait for its next try at the end.
    let summary = text.lines().last().unwrap();
    let after = |word: &str| -> usize {
        let rest = summary.split(word).nth(1).unwrap();
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    assert_eq!(after("Delivered "), delivered, "{summary}");
    assert_eq!(after("Published "), delivered + after("Still open: "), "{summary}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "the scratch folder is gone");
}

#[test]
fn an_interrupt_ends_the_demo_cleanly() {
    let home = Home::new();
    let mut demo = home.start(&["demo", "--rate", "20"]);
    demo.line_with("✓ 204");
    demo.signal("INT");
    let lines = demo.rest();
    assert!(lines.last().unwrap().starts_with("Published "), "{lines:?}");
    assert!(demo.end().0.success());
}

//! What expressions can do, and what they cannot do to us.

use super::*;
use serde_json::json;

fn run(source: &str, input: Value) -> Result<Value, ExpressionError> {
    Expression::compile(source)?.run(&input)
}

#[track_caller]
fn gives(source: &str, input: Value, want: Value) {
    assert_eq!(run(source, input), Ok(want), "{source}");
}

fn submission() -> Value {
    json!({"assignment": {"id": 7, "name": "Loops", "type": "manual"},
        "student": {"id": 3, "email": "ada@students.example.edu"},
        "files": [{"name": "main.py", "size": 3}, {"name": "b.py", "size": 1}]})
}

#[test]
fn ordinary_expressions_work() {
    gives(".", json!({"a": 1}), json!({"a": 1}));
    gives(".student.id", submission(), json!(3));
    gives(".assignment.type == \"manual\"", submission(), json!(true));
    gives("del(.student.email) | .student", submission(), json!({"id": 3}));
    gives(".student.email |= \"hidden\" | .student.email", submission(), json!("hidden"));
    gives("[.files[] | select(.size > 2) | .name]", submission(), json!(["main.py"]));
    gives(".files | map(.size) | add", submission(), json!(4));
    gives(
        "{text: \"\\(.student.id) handed in \\(.assignment.name)\"}",
        submission(),
        json!({"text": "3 handed in Loops"}),
    );
    gives(
        "pick(.student.id, .assignment.name)",
        submission(),
        json!({"student": {"id": 3}, "assignment": {"name": "Loops"}}),
    );
    gives(".missing.deeper // \"none\"", submission(), json!("none"));
    gives("[.files[].name] | join(\", \")", submission(), json!("main.py, b.py"));
    gives("if .assignment.id > 5 then \"high\" elif true then \"low\" else 1 end", submission(), json!("high"));
    gives("reduce .files[] as $f (0; . + $f.size)", submission(), json!(4));
    gives("[foreach .files[] as {size: $s} (0; . + $s)]", submission(), json!([3, 4]));
    gives("try error(\"x\") catch .", json!(1), json!("x"));
    gives("[.[]?]", json!(1), json!([]));
    gives(
        "label $out | first(.files[] | if .size == 3 then ., break $out else . end) | .name",
        submission(),
        json!("main.py"),
    );
    gives("with_entries(.value += 1)", json!({"a": 1, "b": 2}), json!({"a": 2, "b": 3}));
    gives("to_entries", json!({"a": 1}), json!([{"key": "a", "value": 1}]));
    gives("[limit(2; .[])]", json!([1, 2, 3]), json!([1, 2]));
}

#[test]
fn functions_do_what_jq_does() {
    for (source, input, want) in [
        ("any(. > 2)", json!([1, 3]), json!(true)),
        ("all(. > 2)", json!([1, 3]), json!(false)),
        ("any", json!([false, null]), json!(false)),
        ("all", json!([]), json!(true)),
        ("isempty(.[])", json!([]), json!(true)),
        ("sort", json!([3, "a", null, [1], 1.5, true, {}, false]), json!([null, false, true, 1.5, 3, "a", [1], {}])),
        ("sort_by(-.)", json!([1, 3, 2]), json!([3, 2, 1])),
        ("group_by(.a)", json!([{"a": 2}, {"a": 1}, {"a": 2}]), json!([[{"a": 1}], [{"a": 2}, {"a": 2}]])),
        ("unique", json!([2, 1, 2]), json!([1, 2])),
        ("unique_by(length)", json!(["a", "bb", "c"]), json!(["a", "bb"])),
        ("[min, max] | unique | .[0]", json!([2]), json!(2)),
        ("max_by(.a).b", json!([{"a": 1, "b": 1}, {"a": 2, "b": 9}]), json!(9)),
        ("min", json!([]), json!(null)),
        ("flatten", json!([1, [2, [3]]]), json!([1, 2, 3])),
        ("flatten(1)", json!([1, [2, [3]]]), json!([1, 2, [3]])),
        ("[range(3)]", json!(null), json!([0, 1, 2])),
        ("[range(1; 7; 2)]", json!(null), json!([1, 3, 5])),
        ("length", json!("äb"), json!(2)),
        ("utf8bytelength", json!("äb"), json!(3)),
        ("length", json!(-3), json!(3)),
        ("keys", json!({"b": 1, "a": 2}), json!(["a", "b"])),
        ("has(\"a\")", json!({"a": null}), json!(true)),
        ("contains({a: [\"ba\"]})", json!({"a": ["foobar"]}), json!(true)),
        ("inside(\"foobar\")", json!("bar"), json!(true)),
        ("test(\"^AB\"; \"i\")", json!("abc"), json!(true)),
        ("test(\"^b\")", json!("abc"), json!(false)),
        ("index(\"b\")", json!("äb"), json!(1)),
        ("ltrimstr(\"a\") | rtrimstr(\"c\")", json!("abc"), json!("b")),
        ("split(\"@\") | .[1]", json!("ada@example.edu"), json!("example.edu")),
        ("ascii_upcase, . | select(. == \"AB\")", json!("Ab"), json!("AB")),
        ("tonumber + 1", json!("41"), json!(42)),
        ("tostring", json!([1, {"a": 2}]), json!("[1,{\"a\":2}]")),
        ("tojson | fromjson", json!({"a": [1]}), json!({"a": [1]})),
        ("@base64 | @base64d", json!("ä"), json!("ä")),
        ("@uri", json!("a b/ä"), json!("a%20b%2F%C3%A4")),
        ("@json \"x\\(.)\"", json!([1]), json!("x[1]")),
        ("fromdate", json!("2024-05-02T09:14:03Z"), json!(1714641243)),
        ("todate", json!(1714641243), json!("2024-05-02T09:14:03Z")),
        (". * {a: {c: 3}}", json!({"a": {"b": 2}}), json!({"a": {"b": 2, "c": 3}})),
        (". - [2]", json!([1, 2, 3]), json!([1, 3])),
        ("7 % 3, 10 / 4 | select(. > 1)", json!(null), json!(2.5)),
        ("6 / 2", json!(null), json!(3)),
        ("9223372036854775807 + 0", json!(null), json!(9223372036854775807i64)),
        (".[1:]", json!([1, 2, 3]), json!([2, 3])),
        (".[-2:]", json!("abc"), json!("bc")),
        (".[1:] = [9]", json!([1, 2, 3]), json!([1, 9])),
        ("pick(.a[1])", json!({"a": [1, 2]}), json!({"a": [null, 2]})),
        (".[2] = 1", json!([0]), json!([0, null, 1])),
        (".a.b = 1", json!({}), json!({"a": {"b": 1}})),
        (".a += 1", json!({"a": 1}), json!({"a": 2})),
        (".a //= 5", json!({}), json!({"a": 5})),
        ("map_values(select(. > 1))", json!({"a": 1, "b": 2}), json!({"b": 2})),
        ("setpath([\"a\", \"b\"]; 1)", json!({}), json!({"a": {"b": 1}})),
        ("getpath([\"a\", \"b\"])", json!({"a": {"b": 1}}), json!(1)),
        ("[path(.a[])]", json!({"a": [5, 6]}), json!([["a", 0], ["a", 1]])),
        ("from_entries", json!([{"name": "a", "value": false}]), json!({"a": false})),
        ("first(.[]), last(.[]) | select(. == 3)", json!([1, 3]), json!(3)),
        ("reverse", json!([1, 2]), json!([2, 1])),
        ("round, floor, ceil | select(. == 2)", json!(1.2), json!(2)),
        (". as [$a, {b: $c}] | $a + $c", json!([1, {"b": 2}]), json!(3)),
        ("$message", json!(1), json!(null)),
    ] {
        gives(source, input, want);
    }
}

#[test]
fn the_order_of_keys_is_kept() {
    let e = Expression::compile("{z: .b, a: .a} + {m: 1}").unwrap();
    assert_eq!(e.transform(br#"{"b":1,"a":2}"#, &crate::samples::meta("t")).unwrap(), r#"{"z":1,"a":2,"m":1}"#);
    let same = Expression::compile(".").unwrap();
    assert_eq!(
        same.transform(br#"{"b":1, "a": 9007199254740993}"#, &crate::samples::meta("t")).unwrap(),
        r#"{"b":1,"a":9007199254740993}"#
    );
}

#[test]
fn an_expression_sees_its_message() {
    let e =
        Expression::compile("$message.eventType == \"a.b\" and ($message.channels | index(\"x:1\")) != null").unwrap();
    let mut meta = crate::samples::meta("a.b");
    assert_eq!(e.accepts(b"{}", &meta), Ok(false));
    meta.channels.insert(domain::Channel::new("x:1").unwrap());
    assert_eq!(e.accepts(b"{}", &meta), Ok(true));
}

#[test]
fn a_filter_without_a_value_says_no() {
    let meta = crate::samples::meta("t");
    let accepts = |source: &str, payload: &str| Expression::compile(source).unwrap().accepts(payload.as_bytes(), &meta);
    assert_eq!(accepts("empty", "{}"), Ok(false));
    assert_eq!(accepts(".a", "{}"), Ok(false));
    assert_eq!(accepts(".a", r#"{"a":0}"#), Ok(true));
    assert_eq!(accepts(".[] | select(. > 1)", "[1,2]"), Ok(true));
    assert!(matches!(accepts(".a", "[]"), Err(ExpressionError::Failed { .. })));
}

#[test]
fn errors_say_where_and_what() {
    let compile = |source: &str| Expression::compile(source).unwrap_err().to_string();
    assert_eq!(
        compile(".a | foo(1)"),
        "there is no function 'foo' here (character 6); see the list of functions in the documentation"
    );
    assert_eq!(compile(".a | map"), "'map' takes 1 arguments (character 6)");
    assert_eq!(compile("\"ä\" | $x"), "there is no variable '$x' (character 7)");
    assert_eq!(compile(".a | "), "not a jq expression: expected term, but it ends here (character 6)");
    assert_eq!(compile("(.a"), "not a jq expression: expected closing parenthesis (character 4)");
    assert_eq!(
        compile("def f: f; f"),
        "this is not allowed: definitions could call themselves without end (character 5)"
    );
    assert_eq!(
        run(".a | [.b]", json!({"a": [1]})).unwrap_err().to_string(),
        "the expression failed: cannot index array with string (near character 8)"
    );
    assert_eq!(run(".a, .b", json!({})), Err(ExpressionError::NotOne("several")));
    assert_eq!(run("empty", json!({})), Err(ExpressionError::NotOne("no")));
    let secret = run(".student.email + 1", submission()).unwrap_err().to_string();
    assert_eq!(secret, "the expression failed: cannot calculate string + number (near character 2)");
}

#[test]
fn what_reaches_outside_or_calls_itself_is_refused() {
    for source in [
        "env",
        "$ENV",
        "$__loc__",
        "input",
        "inputs",
        "halt",
        "halt_error",
        "halt_error(1)",
        "debug",
        "stderr",
        "now",
        "input_filename",
        "getpath",
        "..",
        ".. |= 1",
        "recurse",
        "recurse(.)",
        "recurse(.; true)",
        "repeat(.)",
        "while(true; .)",
        "until(false; .)",
        "walk(.)",
        "paths",
        "def f: f; f",
        "def f: 1 + f; f",
        "import \"a\" as a; a",
        "include \"a\"; .",
        "@sh",
        "@sh \"\\(.)\"",
        "combinations",
        "schoolbell_main",
        "main",
        "step!",
        "ltrimstr",
        "limit(1)",
        "error_empty",
        "path_value(.)",
        "key_values",
        "splits(\"a\")",
        "gsub(\"a\"; \"b\")",
        "implode",
        "explode",
        "infinite",
        "nan",
        "localtime",
        "strflocaltime(\"\")",
        "get_search_list",
        "$__prog_args",
        "modulemeta",
        "input_line_number",
        "[.[] | (def g: g; g)]",
        "{(..): 1}",
        ".[..]",
        "\"\\(env)\"",
        "reduce env as $x (0; 1)",
        ". as {(env): $x} | 1",
        "try env",
        "-(env)",
        "if env then 1 else 2 end",
        "first(env)",
        "label $x | env",
        ".[env:]",
        "{a: env}",
    ] {
        assert!(Expression::compile(source).is_err(), "{source}");
    }
}

#[test]
fn every_function_on_the_list_exists() {
    for (name, arities) in check::ALLOWED {
        for n in *arities {
            let args = vec!["."; *n].join("; ");
            let source = if *n == 0 { (*name).to_owned() } else { format!("{name}({args})") };
            assert!(Expression::compile(&source).is_ok(), "{source}: {:?}", Expression::compile(&source));
        }
    }
}

/// Runs on a stack as small as a worker's, and tells how long it took.
fn on_a_small_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(f).unwrap().join().unwrap()
}

#[test]
fn sources_that_would_break_the_parser_are_refused_before_it_sees_them() {
    on_a_small_stack(|| {
        for (open, close) in [("(", ")"), ("[", "]"), ("{a:", "}"), ("\"\\(", ")\"")] {
            let nested = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
            assert_eq!(Expression::compile(&nested(600)).unwrap_err(), ExpressionError::TooComplex, "{open}");
            // As deep as the brackets may be: whatever comes out, it comes out.
            let _ = Expression::compile(&nested(check::MAX_BRACKETS));
            let deep = Expression::compile(&nested(check::MAX_DEPTH - 2)).unwrap();
            assert!(deep.run(&json!(1)).is_ok(), "{open}");
        }
        for (word, n) in [
            ("-", 4_000),
            ("try ", 1_000),
            ("if 1 then ", 400),
            ("label $x | ", 370),
            ("1 as $x | ", 400),
            (". | ", 1_020),
            ("1, ", 1_300),
            ("1 - ", 1_000),
            ("1 // ", 800),
        ] {
            let _ = Expression::compile(&format!("{}1", word.repeat(n)));
        }
        for (word, n) in [
            ("-", 40),
            ("try ", 40),
            (". | ", 60),
            ("1, ", 60),
            ("1 // ", 60),
            (". as $x | ", 40),
            ("label $x | ", 40),
            ("reduce ", 40),
        ] {
            if let Ok(e) = Expression::compile(&format!("{}1", word.repeat(n))) {
                let _ = e.run(&json!(1));
            }
        }
        let _ = Expression::compile(&"map(".repeat(check::MAX_BRACKETS));
        let _ = Expression::compile(&format!("{}.{}", "map(".repeat(60), ")".repeat(60)))
            .map(|e| e.run(&json!([[[[[1]]]]])));
        assert_eq!(Expression::compile(&" ".repeat(MAX_SOURCE + 1)).unwrap_err(), ExpressionError::TooLong);
    });
}

#[test]
fn bombs_are_stopped() {
    let many: Vec<u32> = (0..2_000).collect();
    let bombs: Vec<(&str, Value)> = vec![
        ("last(range(1000000000000))", json!(null)),
        ("[range(1e12)]", json!(null)),
        ("[range(0; 1; 0)]", json!(null)),
        ("reduce range(1e12) as $i (0; . + $i)", json!(null)),
        (".[1000000000] = 1", json!([])),
        ("reduce range(60) as $i (\"a\"; . + .)", json!(null)),
        ("reduce range(60) as $i ([1]; . + .)", json!(null)),
        ("reduce range(60) as $i (1; [., .])", json!(null)),
        ("reduce range(60) as $i (1; {a: ., b: .})", json!(null)),
        ("reduce range(1e6) as $i (1; [.])", json!(null)),
        ("reduce range(1e6) as $i (1; {a: .})", json!(null)),
        ("reduce range(1000000) as $i ({}; .[\"k\\($i)\"] = $i)", json!(null)),
        ("\"x\" * 1e9 | length", json!(null)),
        ("1e9 * \"x\" | length", json!(null)),
        ("[range(100000)] | map(\"x\" * 1000) | join(\"\")", json!(null)),
        ("[range(1000)] | join(\"x\" * 8000000)", json!(null)),
        (".[] as $a | .[] as $b | .[] as $c | .[] as $d | empty", json!(many)),
        ("[.[] | . as $a | range(1e9)]", json!(many)),
        (
            "(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|empty",
            json!(1),
        ),
        (
            "[{a:(1,2),b:(1,2),c:(1,2),d:(1,2),e:(1,2),f:(1,2),g:(1,2),h:(1,2),i:(1,2),j:(1,2),k:(1,2),l:(1,2),m:(1,2),n:(1,2),o:(1,2),p:(1,2),q:(1,2),r:(1,2),s:(1,2),t:(1,2),u:(1,2),v:(1,2)}]",
            json!(1),
        ),
        (
            "\"\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\\(1,2)\" | empty",
            json!(1),
        ),
        ("try ([range(1e12)] | error) catch ([range(1e12)])", json!(null)),
        ("[.[] | try ([range(1e9)]) catch 1]", json!(many)),
        ("[.[] | ([range(1e9)] // 1)?]", json!(many)),
        ("[limit(1e12; range(1e12))]", json!(null)),
        ("[skip(1e12; range(1e12))]", json!(null)),
        ("first(range(1e12) | select(. < 0))", json!(null)),
        ("label $f | foreach range(1e12) as $i (0; . + 1; if . > 1e11 then ., break $f else empty end)", json!(null)),
        ("[range(3000)] | . as $a | map($a) | tojson | length", json!(null)),
        ("[range(200000)] | sort_by(-.) | group_by(.) | length", json!(null)),
        ("[range(100000)] | . as $a | map(contains([]) , ($a | contains([-1])))", json!(null)),
        ("[range(50000)] | . as $a | ($a - [-1]) as $b | [range(50)] | map($a == $b, $a < $b)", json!(null)),
        ("[range(20000)] | . - (map(-. - 1))", json!(null)),
        ("[range(20000)] | tojson | . as $t | [range(20000)] | map($t | contains(\"zz\"))", json!(null)),
        ("\"a\" * 500000 | . as $t | [range(10000) | $t | test(\"(a|b|c)*d$\")]", json!(null)),
        ("\"(a*)*\" * 100 | . as $re | [range(10000) | \"aaaa\" | test($re)]", json!(null)),
        ("[range(1e5)] | map(tostring | test(\"x\"))?", json!(null)),
        ("\"x,\" * 1000000 | split(\",\") | map(split(\"\")) | length", json!(null)),
        (
            "[range(1e5)] | [., ., .] | tojson | fromjson | tojson | fromjson | tojson | fromjson | tojson | fromjson | tojson | fromjson",
            json!(null),
        ),
        ("[range(10000)] | . as $a | [$a[] | $a[:9999]] | length", json!(null)),
        ("[range(10000)] | .[] |= [range(10000)]", json!(null)),
        ("[range(10000)] | reduce range(10000) as $i (.; .[$i] = 1)", json!(null)),
        ("[range(10000)] | reduce range(9999) as $i (.; del(.[0]))", json!(null)),
        (
            "[range(100000)] | flatten | [., .] | flatten | [., .] | flatten | [., .] | flatten | [., .] | flatten | length",
            json!(null),
        ),
        ("any(range(1e12); . < 0)", json!(null)),
        ("isempty(range(1e12) | empty)", json!(null)),
        ("[path(.[], .[], .[])] | .[] as $a | .[] as $b | $a == $b | empty", json!(many)),
        ("[range(1e6)] | .[1:] | .[1:] | .[1:] | .[1:] | length", json!(null)),
        ("@base64 \"\\(\"x\" * 8000000)\" | @base64 | @base64 | @base64 | @base64 | @base64 | length", json!(null)),
        ("\"ä\" * 4000000 | @uri | @uri | length", json!(null)),
    ];
    on_a_small_stack(move || {
        for (source, input) in bombs {
            let began = std::time::Instant::now();
            let result = run(source, input);
            let stopped = matches!(result, Err(ExpressionError::Stopped { .. }));
            let took = began.elapsed();
            eprintln!("{took:>10.1?} {} {}", if stopped { "stopped" } else { "RAN" }, &source[..source.len().min(60)]);
            assert!(stopped, "{source} ran to its end");
            // Generous: unoptimised, and other tests run beside it.
            assert!(took < std::time::Duration::from_secs(60), "{source} took {took:?}");
        }
    });
}

#[test]
fn a_large_payload_can_be_worked_on() {
    let rows: Vec<Value> =
        (0..5_000).map(|i| json!({"id": i, "name": format!("student {i}"), "score": i % 7})).collect();
    let input = json!({ "rows": rows });
    gives("[.rows[] | select(.score > 3) | {id, name}] | length", input.clone(), json!(2142));
    gives(".rows | group_by(.score) | map({score: .[0].score, n: length}) | length", input.clone(), json!(7));
    gives(".rows |= map(del(.name)) | .rows | length", input, json!(5_000));
}

#[test]
fn a_run_does_not_spend_the_allowance_of_the_next() {
    let e = Expression::compile("[range(1e9)]").unwrap();
    assert!(e.run(&json!(1)).is_err());
    gives("1 + 1", json!(1), json!(2));
    assert!(e.run(&json!(1)).is_err());
}

mod soup {
    use super::*;
    use proptest::prelude::*;

    /// Pieces of jq in any order: mostly nonsense, sometimes not.
    fn source() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            ".",
            "..",
            ".a",
            ".[]",
            "[]",
            "[0]",
            "[1:]",
            "[",
            "]",
            "(",
            ")",
            "{",
            "}",
            "{a:1}",
            "\"x\"",
            "\"\\(",
            ")\"",
            "|",
            ",",
            "//",
            "+",
            "-",
            "*",
            "/",
            "%",
            "==",
            "<",
            "=",
            "|=",
            "+=",
            "//=",
            " and ",
            " or ",
            " not ",
            "?",
            ":",
            ";",
            "$x",
            "$message",
            " as $x | ",
            " as [$x, {a: $y}] | ",
            "if . then 1 else 2 end",
            "if ",
            " then ",
            " elif ",
            " else ",
            " end ",
            "try ",
            " catch ",
            "reduce .[] as $x (0; . + $x)",
            "foreach .[] as $x (0; 1; 2)",
            "reduce ",
            "label $f | ",
            "break $f",
            "def f: 1; ",
            "1",
            "1e1000",
            "-1",
            "0.5",
            "map(",
            "select(",
            "path(",
            "limit(2; ",
            "range(5)",
            "add",
            "sort_by(",
            "@json ",
            "@base64d",
            "tojson",
            "fromjson",
            "del(",
            "pick(",
            "first(",
            "to_entries",
            "from_entries",
            "join(\",\")",
            "test(\"a\")",
            "split(\"a\")",
            "todate",
            "#",
            "\n",
            "é",
            "error",
            "empty",
            "null",
            "true",
            "keys",
            "has(\"a\")",
            "flatten",
            "tonumber",
            "length",
            "setpath([\"a\"]; 1)",
            "getpath([0])",
        ]);
        prop::collection::vec(piece, 1..14).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]
        #[test]
        fn nothing_that_can_be_written_brings_the_process_down(source in source()) {
            if let Ok(e) = Expression::compile(&source) {
                for input in [json!(null), json!({"a": [1, "x", null, {"a": 2}]}), json!([3, {"a": -1.5}, "é", [[]]])] {
                    let _ = e.run(&input);
                }
            }
        }

        #[test]
        fn no_text_at_all_brings_the_compiler_down(source in "(?s).{0,60}") {
            let _ = Expression::compile(&source);
        }
    }
}

//! Plays a classroom: students work on assignments and hand in, some again and again, some with code that looks a lot like
//! somebody else's.

use crate::{
    format::millis,
    simulate::{Dice, PEOPLE, Scene, Steps, scenes},
};
use domain::Timestamp;
use serde_json::{Value, json};

const MINUTE: u64 = 60_000;

/// An assignment: id, name, how it is corrected, what was given, and how it can be solved: one of the ways of each part,
/// one part after the other. `{n}` stands for a name that the student chooses.
struct Task {
    id: u32,
    name: &'static str,
    kind: &'static str,
    given: &'static [(&'static str, &'static str)],
    parts: &'static [&'static [&'static str]],
}

const TASKS: &[Task] = &[
    Task {
        id: 3_530_417,
        name: "Loops: 3) Countdown",
        kind: "input_output",
        given: &[("main.py", "n = int(input())\n# count down from here\n")],
        parts: &[
            &[
                "{n} = int(input())\n",
                "{n} = int(input('From? '))\n",
                "text = input()\n{n} = int(text.strip())\n",
                "import sys\n{n} = int(sys.stdin.readline())\n",
            ],
            &[
                "",
                "if {n} < 0:\n    {n} = -{n}\n",
                "if {n} <= 0:\n    print('nothing to count')\n",
                "assert {n} >= 0, 'not negative'\n",
            ],
            &[
                "while {n} > 0:\n    print({n})\n    {n} -= 1\n",
                "for i in range({n}, 0, -1):\n    print(i)\n",
                "print('\\n'.join(str(i) for i in reversed(range(1, {n} + 1))))\n",
                "def down({n}):\n    if {n} > 0:\n        print({n})\n        down({n} - 1)\n\ndown({n})\n",
                "step = 0\nwhile step != {n}:\n    print({n} - step)\n    step = step + 1\n",
            ],
            &[
                "print('Go!')\n",
                "print('Lift-off', '!' * 3)\n",
                "for letter in 'done':\n    print(letter, end='')\nprint()\n",
                "result = 'finished'\nprint(result.upper())\n",
            ],
        ],
    },
    Task {
        id: 3_530_902,
        name: "Files: 1) Averages",
        kind: "unit_test",
        given: &[
            ("main.py", "import csv\n\ndef average(path):\n    pass\n"),
            ("measurements.csv", "day,value\nmon,3.5\ntue,4.25\nwed,2.75\nthu,5.0\n"),
            (
                "test_main.py",
                "from main import average\n\ndef test_average():\n    assert average('measurements.csv') == 3.875\n",
            ),
        ],
        parts: &[
            &["import csv\n\n", "import csv\nfrom statistics import mean\n\n", "from pathlib import Path\n\n", ""],
            &[
                "def average(path):\n    {n} = []\n    with open(path) as f:\n",
                "def average(path):\n    {n} = list()\n    f = open(path, encoding='utf-8')\n    if f:\n",
                "def values(path):\n    {n} = []\n    for f in [open(path)]:\n",
                "def average(path, column=1):\n    {n} = [0.0][:0]\n    with open(path, 'r') as f:\n        f.seek(0)\n",
            ],
            &[
                "        for row in csv.DictReader(f):\n            {n}.append(float(row['value']))\n",
                "        for line in f.readlines()[1:]:\n            {n} += [float(line.split(',')[1])]\n",
                "        next(f)\n        {n} = [float(line.rsplit(',', 1)[-1]) for line in f]\n",
                "        lines = f.read().splitlines()\n        while len(lines) > 1:\n            {n}.append(float(lines.pop().split(',')[1]))\n",
            ],
            &[
                "    return sum({n}) / len({n})\n",
                "    total = 0\n    for value in {n}:\n        total = total + value\n    return total / len({n})\n",
                "    return mean({n})\n",
                "    count = max(1, len({n}))\n    result = sum({n}) / count\n    return round(result, 3)\n",
            ],
        ],
    },
    Task {
        id: 3_531_377,
        name: "Essay: what is a variable? (draft)",
        kind: "manual",
        given: &[("main.md", "# What is a variable?\n\n")],
        parts: &[
            &["# What is a variable?\n\n"],
            &[
                "A variable is a name for a value, such as `{n}`.\n",
                "Think of a box with a label on it that says `{n}`.\n",
                "When a program has to remember something, it writes it down under a name like `{n}`.\n",
                "In mathematics `{n}` stands for one number; in a program it can be anything.\n",
            ],
            &[
                "The value can change while the program runs; the name stays.\n",
                "You can look into it, and you can put something else in.\n",
                "Later lines can use it without knowing where it came from.\n",
                "Two names may even stand for the same thing, which surprised me.\n",
            ],
            &[
                "Good names make a program easy to read.\n",
                "I always forget to give it a value before I use it.\n",
                "Without variables we would write every number by hand, again and again.\n",
            ],
        ],
    },
];

const NAMES: &[&str] = &["n", "number", "total", "x", "value", "count_me", "zahl"];

/// Lesson after lesson of one classroom.
pub(super) fn classes(seed: u64, start: Timestamp) -> Steps {
    let mut dice = Dice::new(seed);
    let mut next_submission = 8_723_000 + dice.between(0, 400) as u32;
    scenes(start, move |begins| lesson(&mut dice, begins, &mut next_submission))
}

fn lesson(dice: &mut Dice, begins: Timestamp, next_submission: &mut u32) -> (Scene, u64) {
    let time = |ms: u64| millis(begins.plus(std::time::Duration::from_millis(ms)));
    let task = dice.pick(TASKS);
    let mut scene = Scene::default();
    let students = dice.between(6, 12) as usize;
    // One of them shares, another copies and changes the names.
    let (shares, copies) = (dice.between(0, 3) as usize, dice.between(3, 6) as usize);
    let mut shared = (String::new(), 0);

    for (i, (first, last)) in PEOPLE.iter().enumerate().take(students) {
        let student_id = 2_031_800 + i as u32;
        scene.now_about(&format!("assignment:{}", task.id), &format!("student:{student_id}"));
        let mut at = dice.between(MINUTE / 2, 6 * MINUTE);
        let (solution, name) = if i == copies {
            (shared.0.clone(), (shared.1 + 1) % NAMES.len())
        } else {
            let solution: String = task.parts.iter().map(|ways| *dice.pick(ways)).collect();
            (solution, dice.between(0, NAMES.len() as u64) as usize)
        };
        if i == shares {
            shared = (solution.clone(), name);
        }
        let hand_ins = if dice.chance(30) { dice.between(2, 4) } else { 1 };
        for turn in 1..=hand_ins {
            let opened = at;
            at += dice.between(2 * MINUTE, 12 * MINUTE);
            let last_turn = turn == hand_ins;
            let status = match (task.kind, last_turn) {
                // Left behind: a newer one of the same student follows.
                (_, false) if dice.chance(15) => "abandoned",
                ("manual", _) => "submitted",
                (_, true) if dice.chance(80) => "complete",
                _ => "submitted_incomplete",
            };
            let mut code = solution.replace("{n}", NAMES[name]);
            // Before the last turn something at the end is still missing.
            for _ in turn..hand_ins {
                code.truncate(code.trim_end().rfind('\n').map_or(code.len(), |end| end + 1));
            }
            let mut files = vec![json!({ "name": task.given[0].0, "content": code })];
            files.extend(task.given[1..].iter().map(|(name, content)| json!({ "name": name, "content": content })));
            if dice.chance(15) {
                files.push(json!({ "name": "notes.txt", "content": "ask about the last part\n" }));
            }
            scene.add(
                at,
                "student_submits_assignment",
                &json!({
                    "assignment": { "id": task.id, "name": task.name, "type": task.kind, "files": given(task) },
                    "classroom": { "id": 140_061, "name": "2019-20 / CS 101 / Fundamentals" },
                    "submission": {
                        "id": *next_submission,
                        "status": status,
                        "time_submitted": time(at),
                        "time_created": time(opened),
                        "files": files,
                    },
                    "student": {
                        "id": student_id,
                        "first_name": first,
                        "last_name": last,
                        "email": format!("student{}@students.example.edu", i + 1),
                    },
                }),
            );
            *next_submission += 1;
        }
    }
    (scene, 60 * MINUTE)
}

fn given(task: &Task) -> Vec<Value> {
    task.given.iter().map(|(name, content)| json!({ "name": name, "content": content })).collect()
}

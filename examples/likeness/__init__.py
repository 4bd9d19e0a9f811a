"""Compares the submissions of an assignment with each other and lists the pairs that are suspiciously alike.

How: a file becomes a row of tokens in which the names of variables and the values of texts and numbers do not matter, the
row becomes overlapping pieces of a few tokens, and of these a well-chosen part is kept as the file's fingerprints
(winnowing). What nearly everybody has is what was given or what everybody must write, and does not count. Two submissions
are as alike as the share of the smaller one's fingerprints that the other has as well.

A high figure is a reason to look, never a proof.
"""

import re
import zlib
from collections import Counter
from itertools import combinations

from receiver import Receiver

PIECE = 6
WINDOW = 4
SUSPICIOUS = 0.8
FEWEST = 5

CODE = re.compile(r"\.(py|rb|js|ts|java|c|h|cpp|cs|go|rs|php|swift|kt|lua)$")
COMMENT = re.compile(r"#[^\n]*|//[^\n]*|/\*.*?\*/", re.S)
TOKEN = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(\d[\w.]*)|([^\W\d]\w*)|(\S)""")
WORDS_THAT_MATTER = set(
    "and break class continue def del elif else except finally for from global if import in is lambda new not or pass "
    "print raise return switch case try while with yield function var let const int float str bool void public static "
    "range len open sum input append".split()
)


def tokens(name, content):
    """What of a file matters."""
    if not CODE.search(name):
        return re.findall(r"\w+", content.lower())
    found = []
    for text, number, word, sign in TOKEN.findall(COMMENT.sub(" ", content)):
        if text:
            found.append("TEXT")
        elif number:
            found.append("NUMBER")
        elif word:
            found.append(word if word in WORDS_THAT_MATTER else "NAME")
        else:
            found.append(sign)
    return found


def fingerprints(files):
    """The fingerprints of a submission: numbers that stand for pieces of its files."""
    kept = set()
    for file in files:
        row = tokens(file["name"], file["content"])
        pieces = [zlib.crc32(" ".join(row[i : i + PIECE]).encode()) for i in range(len(row) - PIECE + 1)]
        # Of every window the least: whatever both files contain at this length, both keep the same fingerprint of.
        for i in range(max(0, len(pieces) - WINDOW + 1)):
            kept.add(min(pieces[i : i + WINDOW]))
        if 0 < len(pieces) < WINDOW:
            kept.add(min(pieces))
    return kept


def alike(submissions):
    """The suspicious pairs among submissions `{key: files}`: `(likeness, key, key)`, the most alike first."""
    prints = {key: fingerprints(files) for key, files in submissions.items()}
    having = Counter(piece for pieces in prints.values() for piece in pieces)
    # With four and more, what more than half have is common ground.
    common = {piece for piece, n in having.items() if len(prints) >= 4 and n > len(prints) / 2}
    pairs = []
    for one, other in combinations(sorted(prints), 2):
        mine, theirs = prints[one] - common, prints[other] - common
        if min(len(mine), len(theirs)) >= FEWEST:
            likeness = len(mine & theirs) / min(len(mine), len(theirs))
            if likeness >= SUSPICIOUS:
                pairs.append((likeness, one, other))
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


class Likeness(Receiver):
    """Keeps the latest submission of each student for each assignment."""

    def __init__(self, *arguments):
        self.assignments = {}
        self.latest = {}
        super().__init__(*arguments)

    def take(self, event):
        assignment, student, submission = event["assignment"], event["student"], event["submission"]
        key = (assignment["id"], student["id"])
        # Deliveries may be late: what counts is when it was handed in. The same one again changes nothing.
        order = (submission["time_submitted"], submission["id"])
        files = [{"name": f["name"], "content": f["content"]} for f in submission["files"]]
        name = f"{student['first_name']} {student['last_name']}"
        self.assignments[assignment["id"]] = assignment["name"]
        if key not in self.latest or self.latest[key]["order"] < order:
            self.latest[key] = {"order": order, "files": files, "name": name, "url": submission["teacher_url"]}

    def pairs(self, assignment):
        """The suspicious pairs of one assignment."""
        return alike({who: kept["files"] for (what, who), kept in self.latest.items() if what == assignment})

    def report(self, query):
        lines = []
        for assignment, title in sorted(self.assignments.items()):
            lines.append(f"{title}")
            pairs = self.pairs(assignment)
            for likeness, one, other in pairs:
                a, b = self.latest[assignment, one], self.latest[assignment, other]
                lines.append(f"  {likeness:4.0%}  {a['name']} and {b['name']}")
                lines.append(f"        {a['url']}  {b['url']}")
            if not pairs:
                lines.append("  nothing suspicious")
        return "\n".join(lines or ["Nothing was handed in yet."]) + "\n"

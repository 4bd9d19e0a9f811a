"""Fed with a recorded class, and with small pieces of code."""

import json
import random
import unittest

from likeness import Likeness, alike, fingerprints, tokens
from testing import BODY_SECRET, SIGNING_SECRET, parse, recorded, running, signed

LOOP = """
total = 0
for line in open('data.csv').readlines()[1:]:
    total += float(line.split(',')[1])
    if total > 100:
        print('large', total)
print(total / 4)
"""
OTHER = """
def mean(values):
    return sum(values) / max(1, len(values))

rows = [row for row in csv.reader(open('data.csv'))]
print(mean([float(row[1]) for row in rows[1:]]), end='')
"""


def file(content, name="main.py"):
    return [{"name": name, "content": content}]


class Comparing(unittest.TestCase):
    def test_other_names_comments_and_texts_do_not_hide_a_copy(self):
        copy = LOOP.replace("total", "summe").replace("'large'", '"gross"').replace("100", "99.5")
        copy = "# I wrote this myself\n" + copy.replace("\n    if", "  # add\n    if")
        self.assertEqual(tokens("a.py", LOOP), tokens("a.py", copy))
        self.assertEqual(alike({1: file(LOOP), 2: file(copy), 3: file(OTHER)}), [(1.0, 1, 2)])

    def test_moved_parts_and_padding_do_not_hide_a_copy(self):
        padded = "import os\nx = os.getcwd()\n" + LOOP + OTHER.split("rows")[0]
        self.assertGreaterEqual(alike({1: file(LOOP), 2: file(padded)})[0][0], 0.9)

    def test_different_work_is_not_suspicious(self):
        self.assertEqual(alike({1: file(LOOP), 2: file(OTHER)}), [])

    def test_what_nearly_everybody_has_does_not_count(self):
        given = LOOP
        own = ["a = [1]\nwhile a and a[0] < %d:\n    a[0] = a[0] * 2 - len(a)\n    print(a, sep=':')\n" % 8,
               "try:\n    x = {'a': 1}['b']\nexcept KeyError as e:\n    raise ValueError(e) from None\n",
               "class A:\n    def f(self, *args, **more):\n        return lambda y: (y, args, more)\n",
               OTHER]
        self.assertEqual(alike({i: file(given + text) for i, text in enumerate(own)}), [])

    def test_too_little_is_not_compared(self):
        self.assertEqual(alike({1: file("print(1)\n"), 2: file("print(2)\n"), 3: [], 4: file("")}), [])

    def test_texts_are_compared_by_their_words(self):
        text = "A variable is a name for a value. The value can change while the program runs; the name stays as it was."
        self.assertEqual(alike({1: file(text, "a.md"), 2: file(text.upper(), "b.md")}), [(1.0, 1, 2)])
        self.assertTrue(fingerprints(file(text, "a.md")))


class Deliveries(unittest.TestCase):
    def test_the_copy_in_a_recorded_class_is_found(self):
        likeness = Likeness(None, BODY_SECRET)
        for body in recorded("replit"):
            likeness.receive({}, body)
        found = {a: likeness.pairs(a) for a in likeness.assignments}
        self.assertTrue(any(pairs and pairs[0][0] == 1.0 for pairs in found.values()), found)
        everybody = len(likeness.latest)
        suspicious = sum(len(pairs) for pairs in found.values())
        self.assertLess(suspicious, everybody, "most pairs must not be suspicious")

    def test_order_and_repetition_do_not_matter(self):
        bodies = recorded("replit")
        straight, shuffled = Likeness(None, BODY_SECRET), Likeness(None, BODY_SECRET)
        mixed = bodies + bodies[::3]
        random.Random(4).shuffle(mixed)
        for body in bodies:
            straight.receive({}, body)
        for body in mixed:
            shuffled.receive({}, body)
        self.assertEqual(straight.report({}), shuffled.report({}))

    def test_over_http_with_signature_and_secret(self):
        with running(Likeness(SIGNING_SECRET, BODY_SECRET)) as send:
            for body in recorded("replit"):
                self.assertEqual(send(body, signed(body))[0], 200)
            status, report = send()
        self.assertEqual(status, 200)
        self.assertIn("100%", report)
        self.assertNotIn(BODY_SECRET, report)

    def test_unchanged_work_has_no_files_and_is_taken(self):
        event = parse(recorded("replit"))[0]
        event["submission"]["files"] = []
        likeness = Likeness()
        likeness.receive({}, json.dumps(event).encode())
        self.assertIn("nothing suspicious", likeness.report({}))


if __name__ == "__main__":
    unittest.main()

"""Fed with a recorded class."""

import random
import unittest

from testing import BODY_SECRET, SIGNING_SECRET, parse, recorded, running, signed
from timeline import Timeline, changed_lines


def fed(bodies):
    timeline = Timeline(None, BODY_SECRET)
    for body in bodies:
        timeline.receive({}, body)
    return timeline


class History(unittest.TestCase):
    def test_every_submission_is_in_it_once_and_in_order(self):
        bodies = recorded("replit")
        timeline = fed(bodies)
        self.assertEqual(len(timeline.submissions), len(bodies))
        several = 0
        for student, assignment in {(k["student"], k["assignment"]) for k in timeline.submissions.values()}:
            history = timeline.history(student, assignment)
            self.assertEqual([k["at"] for k in history], sorted(k["at"] for k in history))
            several += len(history) > 1
        self.assertGreater(several, 0)

    def test_late_and_repeated_deliveries_change_nothing(self):
        bodies = recorded("replit")
        mixed = bodies * 2
        random.Random(1).shuffle(mixed)
        self.assertEqual(fed(mixed).report({}), fed(bodies).report({}))

    def test_one_student_or_assignment_can_be_asked_for(self):
        bodies = recorded("replit")
        event = parse(bodies)[0]
        student, assignment = event["student"]["id"], event["assignment"]["id"]
        with running(Timeline(SIGNING_SECRET, BODY_SECRET)) as send:
            for body in bodies:
                self.assertEqual(send(body, signed(body))[0], 200)
            everything = send()[1]
            one = send(query=f"?student={student}&assignment={assignment}")[1]
            nobody = send(query="?student=1")[1]
        self.assertIn(one, everything)
        self.assertEqual(one.count("student="), 1)
        self.assertEqual(nobody, "Nothing was handed in yet.\n")

    def test_changes_are_counted_in_lines(self):
        self.assertEqual(changed_lines({"a": "1\n2\n"}, {"a": "1\n3\n4\n", "b": "5"}), (3, 1))
        self.assertEqual(changed_lines({}, {}), (0, 0))


if __name__ == "__main__":
    unittest.main()

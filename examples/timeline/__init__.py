"""Keeps a timeline: every submission of every student and assignment, numbered, with what changed from one to the next."""

import difflib

from receiver import Receiver


class Timeline(Receiver):
    """The history of every student and assignment."""

    def __init__(self, *arguments):
        self.submissions = {}
        super().__init__(*arguments)

    def take(self, event):
        submission = event["submission"]
        # Every hand-in has a number of its own: the same number again is the same delivery again.
        self.submissions[submission["id"]] = {
            "student": event["student"]["id"],
            "name": f"{event['student']['first_name']} {event['student']['last_name']}",
            "assignment": event["assignment"]["id"],
            "title": event["assignment"]["name"],
            "at": submission["time_submitted"],
            "opened": submission["time_created"],
            "status": submission["status"],
            "files": {file["name"]: file["content"] for file in submission["files"]},
        }

    def history(self, student, assignment):
        """Submissions of one student for one assignment, the oldest first, however they came in."""
        own = [
            {**kept, "id": number}
            for number, kept in self.submissions.items()
            if (kept["student"], kept["assignment"]) == (student, assignment)
        ]
        return sorted(own, key=lambda kept: (kept["at"], kept["id"]))

    def report(self, query):
        """All of it, or of one `student` or `assignment`."""
        wanted = {name: query[name] for name in ("student", "assignment") if name in query}
        threads = sorted({(kept["student"], kept["assignment"]) for kept in self.submissions.values()})
        lines = []
        for student, assignment in threads:
            if wanted.get("student", str(student)) != str(student):
                continue
            if wanted.get("assignment", str(assignment)) != str(assignment):
                continue
            history = self.history(student, assignment)
            lines.append(f"{history[0]['name']} (student={student}), {history[0]['title']} (assignment={assignment})")
            before = {}
            for n, kept in enumerate(history, 1):
                added, removed = changed_lines(before, kept["files"])
                lines.append(f"  {n}. {kept['at']}  {kept['status']:<20}  +{added} -{removed}")
                before = kept["files"]
        return "\n".join(lines or ["Nothing was handed in yet."]) + "\n"


def changed_lines(before, after):
    """How many lines were added and removed between two sets of files."""
    added = removed = 0
    for name in sorted(before.keys() | after.keys()):
        difference = difflib.ndiff(before.get(name, "").splitlines(), after.get(name, "").splitlines())
        for line in difference:
            added += line.startswith("+ ")
            removed += line.startswith("- ")
    return added, removed

"""Computes who attended a class and for how long, from Teachstack's peer events.

Events may be late, out of order, or repeated, and one user may be connected with several devices at once: time counts once.
"""

import csv
import io
from datetime import datetime, timedelta

from receiver import Receiver

LATE = timedelta(minutes=5)


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def merged(spans):
    """Spans of time without overlaps."""
    joined = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


class Session:
    """One class, put together from whatever has arrived of it."""

    def __init__(self):
        self.room = ""
        self.started = None
        self.ended = None
        self.latest = None
        # Per connection: who, from when, until when.
        self.users = {}
        self.joined = {}
        self.left = {}

    def take(self, kind, data):
        self.room = data["room"]["name"]
        times = [instant(data[key]) for key in ("started_at", "ended_at", "joined_at", "left_at", "saved_at") if key in data]
        self.latest = max(times + ([self.latest] if self.latest else []), default=None)
        if kind in ("room.created", "room.closed"):
            self.started = instant(data["started_at"])
        if kind == "room.closed":
            self.ended = instant(data["ended_at"])
        if kind in ("peer.joined", "peer.left"):
            peer = data["peer"]
            self.users[peer["peer_id"]] = peer
            # A departure says when the connection began: its arrival may be missing.
            self.joined[peer["peer_id"]] = instant(data["joined_at"])
        if kind == "peer.left":
            self.left[data["peer"]["peer_id"]] = instant(data["left_at"])

    def attendance(self):
        """Per user: name, role, first in, last out, time there, share of the class, late, devices, still there."""
        end = self.ended or self.latest
        people = {}
        for connection, user in self.users.items():
            start = self.joined[connection]
            # Who never left was there until the class ended, or is there still.
            until = max(start, self.left.get(connection, end))
            people.setdefault(user["user_id"], []).append((user, start, until, connection))
        begin = self.started or min(self.joined.values(), default=end)
        rows = []
        for user_id, connections in sorted(people.items()):
            spans = merged((start, until) for _, start, until, _ in connections)
            there = sum((until - start for start, until in spans), timedelta())
            length = (end - begin) if end and begin else timedelta()
            here = self.ended is None and any(c not in self.left for *_, c in connections)
            rows.append({
                "user_id": user_id,
                "name": connections[0][0]["name"],
                "role": connections[0][0]["role"],
                "first_in": spans[0][0].isoformat(),
                "last_out": "" if here else spans[-1][1].isoformat(),
                "minutes": round(there.total_seconds() / 60, 1),
                "share": round(min(1.0, there / length), 3) if length else 0.0,
                "late": spans[0][0] - begin > LATE,
                "connections": len(connections),
            })
        return rows


class Attendance(Receiver):
    """All classes, by session."""

    def __init__(self, *arguments):
        self.sessions = {}
        self.seen = set()
        super().__init__(*arguments)

    def take(self, event):
        if event["id"] in self.seen:
            return
        data = event["data"]
        self.sessions.setdefault(data["session_id"], Session()).take(event["event"], data)
        self.seen.add(event["id"])

    def report(self, query):
        """Comma-separated values of one `session`, or of all."""
        out = io.StringIO()
        columns = ["session", "room", "user_id", "name", "role", "first_in", "last_out", "minutes", "share", "late", "connections"]
        table = csv.DictWriter(out, columns, lineterminator="\n")
        table.writeheader()
        started = lambda item: (item[1].started or item[1].latest, item[0])
        known = [(key, s) for key, s in self.sessions.items() if s.users]
        for key, session in sorted(known, key=started):
            if query.get("session", key) == key:
                for row in session.attendance():
                    table.writerow({"session": key, "room": session.room, **row})
        return out.getvalue()

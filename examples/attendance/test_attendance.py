"""Fed with recorded classes, and with small ones made up here."""

import csv
import io
import itertools
import random
import unittest
from datetime import timedelta

from attendance import Attendance, instant
from testing import SIGNING_SECRET, parse, recorded, running, signed

NUMBERS = itertools.count()
START = instant("2022-08-14T09:30:00.000Z")


def at(minutes):
    return (START + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(kind, **data):
    room = {"room_id": "r", "class_id": "acme::r", "name": "R"}
    return {"id": f"msg_{next(NUMBERS)}", "event": kind, "data": {"room": room, "session_id": "s", **data}}


def joined(user, device, minute):
    peer = {"peer_id": device, "user_id": user, "name": user.title(), "type": 2, "role": "student"}
    return event("peer.joined", peer=peer, joined_at=at(minute))


def left(user, device, minute, until):
    peer = joined(user, device, minute)["data"]["peer"]
    return event("peer.left", peer=peer, joined_at=at(minute), left_at=at(until), duration=(until - minute) * 60, reason="left")


def created():
    return event("room.created", started_at=at(0))


def closed(minute):
    return event("room.closed", started_at=at(0), ended_at=at(minute))


def rows(events):
    attendance = Attendance()
    for one in events:
        attendance.take(one)
    return {row["user_id"]: row for session in attendance.sessions.values() for row in session.attendance()}


class Computing(unittest.TestCase):
    def test_time_there_and_share_of_the_class(self):
        ada = rows([created(), joined("ada", "a", 2), left("ada", "a", 2, 32), closed(40)])["ada"]
        self.assertEqual((ada["minutes"], ada["share"], ada["late"]), (30.0, 0.75, False))
        self.assertEqual((ada["first_in"], ada["connections"]), ("2022-08-14T09:32:00+00:00", 1))

    def test_two_devices_at_once_count_once(self):
        both = [created(), joined("ada", "a", 0), joined("ada", "b", 10), left("ada", "a", 0, 20), left("ada", "b", 10, 30), closed(40)]
        ada = rows(both)["ada"]
        self.assertEqual((ada["minutes"], ada["connections"]), (30.0, 2))

    def test_a_device_within_the_time_of_another_adds_nothing(self):
        ada = rows([created(), left("ada", "a", 0, 40), left("ada", "b", 10, 20), closed(40)])["ada"]
        self.assertEqual(ada["minutes"], 40.0)

    def test_a_gap_is_not_counted(self):
        ada = rows([created(), left("ada", "a", 0, 10), left("ada", "b", 20, 30), closed(40)])["ada"]
        self.assertEqual(ada["minutes"], 20.0)

    def test_a_departure_alone_is_enough(self):
        self.assertEqual(rows([left("ada", "a", 6, 16), closed(40)])["ada"]["minutes"], 10.0)
        self.assertTrue(rows([left("ada", "a", 6, 16), closed(40)])["ada"]["late"])

    def test_without_a_departure_the_end_of_the_class_counts(self):
        ada = rows([created(), joined("ada", "a", 10), closed(40)])["ada"]
        self.assertEqual((ada["minutes"], ada["last_out"]), (30.0, "2022-08-14T10:10:00+00:00"))

    def test_while_the_class_goes_on_somebody_is_still_there(self):
        ada = rows([created(), joined("ada", "a", 10), joined("ben", "b", 25)])["ada"]
        self.assertEqual((ada["minutes"], ada["last_out"]), (15.0, ""))

    def test_every_order_and_any_repetition_gives_the_same(self):
        events = [created(), joined("ada", "a", 1), left("ada", "a", 1, 9), joined("ada", "b", 5), closed(20)]
        want = rows(events)
        for order in itertools.permutations(events):
            self.assertEqual(rows(order), want)
            self.assertEqual(rows(order + order[:3]), want)

    def test_two_classes_in_one_room_are_two(self):
        other = joined("ada", "a", 1)
        other["data"]["session_id"] = "s2"
        attendance = Attendance()
        for one in [created(), joined("ada", "x", 0), other]:
            attendance.take(one)
        self.assertEqual(set(attendance.sessions), {"s", "s2"})


class Deliveries(unittest.TestCase):
    def test_recorded_classes_give_the_same_however_they_come_in(self):
        bodies = recorded("teachstack")
        straight, shuffled = Attendance(), Attendance()
        mixed = bodies + bodies[::2]
        random.Random(9).shuffle(mixed)
        for body in bodies:
            straight.receive({}, body)
        for body in mixed:
            shuffled.receive({}, body)
        self.assertEqual(straight.report({}), shuffled.report({}))

    def test_recorded_classes_agree_with_what_the_room_says(self):
        bodies = recorded("teachstack")
        attendance = Attendance()
        for body in bodies:
            attendance.receive({}, body)
        for one in parse(bodies):
            if one["event"] == "room.closed":
                table = attendance.sessions[one["data"]["session_id"]].attendance()
                self.assertEqual(len(table), one["data"]["peer_count"])
                self.assertTrue(all(0 < row["share"] <= 1 for row in table))
                host = next(row for row in table if row["role"] == "host")
                self.assertAlmostEqual(host["minutes"], one["data"]["duration"] / 60, delta=0.2)
                self.assertTrue(any(row["connections"] > 1 for row in table))

    def test_over_http(self):
        with running(Attendance(SIGNING_SECRET)) as send:
            for body in recorded("teachstack"):
                self.assertEqual(send(body, signed(body))[0], 200)
            status, report = send()
            table = list(csv.DictReader(io.StringIO(report)))
            one = list(csv.DictReader(io.StringIO(send(query=f"?session={table[0]['session']}")[1])))
        self.assertEqual(status, 200)
        self.assertEqual(one, [row for row in table if row["session"] == table[0]["session"]])

    def test_a_plain_receiver_without_any_secret_just_works(self):
        with running(Attendance()) as send:
            self.assertEqual(send(recorded("teachstack")[0])[0], 200)
            self.assertEqual(send(b'{"id": "x"}')[0], 422)


if __name__ == "__main__":
    unittest.main()

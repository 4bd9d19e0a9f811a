"""What every receiver must get right: where a delivery comes from, and what it leaves behind."""

import json
import os
import tempfile
import time
import unittest

import receiver
from testing import BODY_SECRET, SIGNING_SECRET, recorded, running, signed


class Collects(receiver.Receiver):
    def __init__(self, *arguments):
        self.events = []
        super().__init__(*arguments)

    def take(self, event):
        self.events.append(event)

    def report(self, query):
        return f"{len(self.events)} {query.get('x', '')}"


class Signatures(unittest.TestCase):
    def refused(self, headers, body=b"{}", **more):
        with self.assertRaises(receiver.Refused) as caught:
            receiver.check_signature(SIGNING_SECRET, headers, body, **more)
        self.assertEqual(caught.exception.status, 401)
        return str(caught.exception)

    def test_a_signed_body_is_taken_under_both_names(self):
        headers = signed(b"{}")
        receiver.check_signature(SIGNING_SECRET, headers, b"{}")
        svix = {name.replace("webhook", "svix"): value for name, value in headers.items()}
        receiver.check_signature(SIGNING_SECRET, svix, b"{}")

    def test_one_of_several_signatures_is_enough(self):
        headers = signed(b"{}")
        headers["webhook-signature"] = "v1a,AAAA v1,AAAA " + headers["webhook-signature"]
        receiver.check_signature(SIGNING_SECRET, headers, b"{}")

    def test_a_known_vector_verifies(self):
        body = b'{"test": 2432232314}'
        headers = {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        receiver.check_signature(SIGNING_SECRET, headers, body, now=1614265330)

    def test_what_is_changed_missing_or_old_is_refused(self):
        headers = signed(b"{}")
        self.assertIn("no signature", self.refused(headers, b"{ }"))
        self.assertIn("no signature", self.refused({**headers, "webhook-id": "msg_2"}))
        self.assertIn("no signature", self.refused({**headers, "webhook-signature": "v2,x"}))
        self.assertIn("too old", self.refused(signed(b"{}", at=time.time() - 301)))
        self.assertIn("too old", self.refused(signed(b"{}", at=time.time() + 301)))
        self.assertIn("not a number", self.refused({**headers, "webhook-timestamp": "now"}))
        self.assertIn("missing", self.refused({}))


class OverHttp(unittest.TestCase):
    def test_deliveries_are_checked_taken_and_told_about(self):
        body = recorded("replit")[0]
        with running(Collects(SIGNING_SECRET, BODY_SECRET)) as send:
            self.assertEqual(send(body, signed(body)), (200, "ok\n"))
            self.assertEqual(send(body)[0], 401)
            other = body.replace(BODY_SECRET.encode(), b"00000000-0000-4000-8000-000000000000")
            self.assertEqual(send(other, signed(other))[0], 401)
            self.assertEqual(send(b"[]", signed(b"[]"))[0], 400)
            self.assertEqual(send(b"no", signed(b"no"))[0], 400)
            self.assertEqual(send(query="?x=y"), (200, "1 y"))

    def test_the_secret_is_not_kept(self):
        body = recorded("replit")[0]
        with tempfile.TemporaryDirectory() as folder:
            keep = os.path.join(folder, "events.jsonl")
            first = Collects(None, BODY_SECRET, keep)
            first.receive({}, body)
            self.assertNotIn("webhook_secret", first.events[0]["classroom"])
            with open(keep, encoding="utf-8") as file:
                self.assertNotIn(BODY_SECRET, file.read())
            self.assertEqual(Collects(None, BODY_SECRET, keep).events, first.events)

    def test_an_event_of_another_kind_is_refused_and_not_kept(self):
        class Picky(Collects):
            def take(self, event):
                super().take(event["missing"])

        with tempfile.TemporaryDirectory() as folder:
            keep = os.path.join(folder, "events.jsonl")
            with self.assertRaises(receiver.Refused) as caught:
                Picky(None, None, keep).receive({}, json.dumps({}).encode())
            self.assertEqual(caught.exception.status, 422)
            self.assertFalse(os.path.exists(keep))


if __name__ == "__main__":
    unittest.main()

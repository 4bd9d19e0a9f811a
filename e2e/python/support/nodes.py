"""Several nodes at once, and a producer that does not give up."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from .api import Api, eventually, make_token
from .server import new_organization


class Producer(threading.Thread):
    """Publishes to one node after the other, each event until it is accepted."""

    def __init__(self, apis, app, pause=0.005, name="event"):
        super().__init__(daemon=True, name=name)
        self.apis, self.app, self.pause = apis, app, pause
        self.accepted: dict[str, float] = {}
        self.statuses: Counter = Counter()
        self.slowest = 0.0
        self.ended = threading.Event()

    def run(self):
        serial = 0
        while not self.ended.is_set():
            serial += 1
            body = {"eventType": "a.b", "payload": {"n": serial}, "eventId": f"{self.name}-{serial}"}
            while not self.ended.is_set():
                api = self.apis[(serial + sum(self.statuses.values())) % len(self.apis)]
                begun = time.monotonic()
                try:
                    response = api.post(f"/app/{self.app}/msg", body)
                except httpx.TransportError:
                    self.statuses["cut"] += 1
                    time.sleep(0.05)
                    continue
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.statuses[response.status_code] += 1
                if response.status_code == 202:
                    self.accepted[response.json()["id"]] = time.monotonic()
                    break
                time.sleep(0.05)
            time.sleep(self.pause)

    def finish(self):
        self.ended.set()
        self.join(30)
        assert not self.is_alive()


def cluster(new_node, url, count, **options):
    nodes = [new_node(url, node=f"bell-{n}", **options) for n in range(count)]
    with ThreadPoolExecutor() as pool:
        # All at once, on an empty database.
        list(pool.map(lambda node: node.start(), nodes))
    organization = new_organization()
    token = make_token(nodes[0].jwt_secret, organization)
    return nodes, [Api(node.url, token, organization, node.jwt_secret) for node in nodes]


def all_arrived(hook, accepted, timeout):
    def missing():
        return set(accepted) - set(hook.ids())

    eventually(lambda: not missing(), timeout, f"{len(accepted)} events were accepted, some did not arrive")

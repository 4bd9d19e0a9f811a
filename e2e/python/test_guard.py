"""The guard of outgoing requests: private addresses are out of reach unless the operator allows them."""

import pytest

from conftest import connect
from support.api import assert_invalid


@pytest.fixture(scope="module")
def strict(scratch):
    """A server that may reach no private network."""
    from support.server import Server

    server = Server(scratch / "strict", {"allow-subnets": None}).start()
    yield server
    server.close()


LITERALS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[fe80::1]", "[fc00::1]",
    "[fd12:3456::1]", "[ff02::1]", "[2001:db8::1]", "[64:ff9b::7f00:1]", "[64:ff9b::a00:1]", "[2002:7f00:1::]", "[2002:a00:1::1]",
    "[2001:0:7f00:1::1]", "[100::1]", "[::127.0.0.1]",
]  # fmt: skip


@pytest.mark.parametrize("host", LITERALS)
def test_private_literal_addresses_are_refused_when_written(strict, host):
    api = connect(strict)
    app = api.app()["id"]
    url = f"http://{host}/hook"
    assert_invalid(api.post(f"/app/{app}/endpoint", {"url": url}), "body", "url")
    endpoint = api.endpoint(app, "https://example.com/")["id"]
    for method in ("PUT", "PATCH"):
        assert_invalid(api.request(method, f"/app/{app}/endpoint/{endpoint}", json={"url": url}), "body", "url")


def test_names_of_private_addresses_are_refused_when_sent_to_and_the_attempt_says_why(strict, hook):
    api = connect(strict)
    app = api.app()["id"]
    api.endpoint(app, hook.url.replace("127.0.0.1", "localhost"), retrySchedule=[])
    attempt = api.attempts(app, api.send(app)["id"])[0]
    assert (attempt["status"], attempt["responseStatusCode"]) == (2, 0)
    assert "blocked" in attempt["response"]
    hook.stays_at(0, 0)


def test_allowed_networks_can_be_reached_by_address_and_by_name(server, hook):
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    api.endpoint(app, hook.url.replace("127.0.0.1", "localhost"))
    api.send(app)
    hook.wait(2)


def test_an_allowed_network_does_not_open_the_others(server):
    api = connect(server)
    app = api.app()["id"]
    for host in ("10.0.0.1", "169.254.169.254", "[::1]"):
        assert_invalid(api.post(f"/app/{app}/endpoint", {"url": f"http://{host}/"}), "body", "url")

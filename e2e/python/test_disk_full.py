"""A full disk: clear refusals, nothing lost, and work goes on when there is space again. Needs root, for a small tmpfs."""

import os
import subprocess
import time

import pytest

from conftest import connect
from support.api import assert_error, eventually
from support.receiver import Answer

SIZE_MB = 16


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount a tmpfs (root): {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Takes all the space that is left."""
    with open(folder / "ballast", "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                pass


def publish_until_refused(api, app, size):
    """Publishes until the first refusal; gives what was accepted and the refusal."""
    accepted = []
    for n in range(5000):
        response = api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {"n": n, "filling": "x" * size}})
        if response.status_code != 202:
            return accepted, response
        accepted.append(response.json()["id"])
    raise AssertionError("the disk never became full")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("delivering", [True, False], ids=["deliveries going on", "deliveries waiting"])
def test_a_full_disk_refuses_clearly_loses_nothing_and_recovers(new_server, small_disk, hook, delivering):
    server = new_server(retry_schedule=",".join(["200ms"] * 60))
    server.database = f"sqlite:{small_disk / 'schoolbell.db'}"
    server.start()
    api = connect(server)
    app = api.app()["id"]
    api.endpoint(app, hook.url)
    if not delivering:
        hook.answer = lambda _: Answer(503)

    with open(small_disk / "ballast", "wb") as file:
        file.write(b"\0" * (SIZE_MB // 2 << 20))
    accepted, refusal = publish_until_refused(api, app, 30_000)
    assert accepted, "nothing was accepted at all"
    assert refusal.status_code in (503, 507), refusal.text
    assert_error(refusal, refusal.status_code)

    # It lives, it reads, and it keeps refusing clearly.
    fill(small_disk)
    for _ in range(20):
        response = api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {"filling": "x" * 30_000}})
        if response.status_code == 202:
            accepted.append(response.json()["id"])
        else:
            assert_error(response, response.status_code)
            assert response.status_code in (503, 507)
    batch = api.post(f"/app/{app}/msg/batch/", {"messages": [{"eventType": "a.b", "payload": {"f": "x" * 30_000}}] * 5})
    if batch.status_code == 200:
        assert {i["status"] for i in batch.json()["data"]} <= {202, 503, 507}
        accepted += [i["message"]["id"] for i in batch.json()["data"] if i["status"] == 202]
    else:
        assert batch.status_code in (503, 507)
    assert server.is_running()
    assert api.get(f"/app/{app}").status_code == 200
    assert api.get(f"/app/{app}/msg/{accepted[0]}").json()["id"] == accepted[0]
    time.sleep(1)
    assert server.is_running()

    # Space returns; nobody restarts anything.
    os.remove(small_disk / "ballast")
    hook.answer = lambda _: Answer(200)
    fresh = eventually(
        lambda: (
            (r := api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {}})).status_code == 202
            and r.json()["id"]
        ),
        30,
        "publishing did not work again",
    )
    accepted.append(fresh)
    eventually(lambda: set(accepted) <= set(hook.ids()), 60, "accepted events were not delivered")
    listed = [m["id"] for page in api.pages(f"/app/{app}/msg", limit=250, with_content="false") for m in page]
    assert sorted(listed) == sorted(accepted), "what is stored is not what was accepted"

    # And all of it is still there after a restart.
    assert server.stop() == 0
    server.start()
    assert api.get(f"/app/{app}/msg/{accepted[0]}").json()["payload"]["filling"] == "x" * 30_000
    api.send(app)


@pytest.mark.timeout(60)
def test_starting_on_a_full_disk_says_what_is_wrong(new_server, small_disk):
    server = new_server()
    server.database = f"sqlite:{small_disk / 'schoolbell.db'}"
    fill(small_disk)
    with pytest.raises(RuntimeError) as failure:
        server.start()
    said = str(failure.value).lower()
    assert "panicked" not in said
    assert "full" in said or "space" in said, said

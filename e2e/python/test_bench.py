"""`schoolbell bench`: measures on its own, in a folder that is gone afterwards."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from support.api import eventually
from support.server import binary

ROWS = [
    "one event per request",
    "the same at a quarter of that rate",
    "batches of 100 events",
    "fan-out to 100 endpoints",
    "accepting alone, one event per request",
    "accepting alone, batches of 100",
]


def bench(folder, *arguments, **environment):
    # Settings of the shell are those of other servers: the one that is measured must not hear of them.
    env = {**os.environ, "SCHOOLBELL_LISTEN": "nowhere", "SCHOOLBELL_DATABASE": "mysql://x/y", **environment}
    return subprocess.run(
        [binary(), "bench", *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=240
    )


def test_the_table_has_every_row_with_units_and_says_what_the_machine_is(tmp_path):
    done = bench(tmp_path, "--for", "200ms")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"schoolbell \S+, \d+ cores, disk of .+, a sync takes [\d.]+ / [\d.]+ ms", lines[0]), lines[0]
    assert str(tmp_path.resolve()) in lines[0]
    for row in ROWS:
        line = next(line for line in lines if line.startswith(row + "  "))
        assert re.search(r"\d+ +(\d+|-) +([\d.]+ µs|-) +[\d.]+ µs +[\d.]+ / [\d.]+ ms", line), line
    assert re.search(r"^start, empty database +\d+ ms$", done.stdout, re.M)
    assert re.search(r"^memory, idle +\d+ MB$", done.stdout, re.M)
    assert "on the same machine" in done.stdout
    assert list(tmp_path.iterdir()) == [], "it left something behind"


def test_json_holds_the_same_figures(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    done = bench(tmp_path, "--for", "500ms", "--json", "--folder", str(folder))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [row["name"] for row in report["rows"]] == ROWS
    assert report["machine"]["folder"] == str(folder.resolve()) and report["machine"]["cores"] >= 1
    assert report["machine"]["sync"]["p50Ms"] > 0 and report["startMs"] > 0
    assert 0 < report["idleMemoryBytes"] <= report["loadedMemoryBytes"]
    single, quarter, batch, fan_out, accepting, _ = report["rows"]
    for row in (single, quarter, batch, fan_out):
        assert row["deliveriesPerSecond"] > 0 and 0 < row["receipt"]["p50Ms"] <= row["receipt"]["p99Ms"], row
    assert fan_out["deliveriesPerSecond"] > fan_out["acceptedPerSecond"]
    assert accepting["deliveriesPerSecond"] is None and accepting["acceptedPerSecond"] > 0
    assert list(folder.iterdir()) == [] and list(tmp_path.iterdir()) == [folder]


def test_an_interruption_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        [binary(), "bench", "--for", "60s"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        scratch = eventually(lambda: next(tmp_path.glob("schoolbell-bench-*/bench.db"), None), 30).parent
        assert "one event per request" in process.stderr.readline()
        server = children(process.pid)
        assert len(server) == 1
        # To this process alone, as a supervisor would: the server must go all the same.
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and output == "" and errors.splitlines()[-1] == "schoolbell: interrupted"
    assert not scratch.exists() and list(tmp_path.iterdir()) == []
    assert not os.path.exists(f"/proc/{server[0]}")


def children(pid):
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--for", "soon"], "--for"),
        (["--for", "2h"], "10m"),
        (["--folder", "nowhere"], "nowhere"),
        (["--fast"], "--fast"),
    ],
)
def test_a_wrong_option_is_named(tmp_path, arguments, named):
    done = bench(tmp_path, *arguments)
    assert done.returncode == 2 and named in done.stderr and done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    done = bench(tmp_path, "--folder", "/proc")
    assert done.returncode == 1 and "/proc" in done.stderr and done.stdout == ""

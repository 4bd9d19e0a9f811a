"""A queue server on loopback (moto in server mode) and the AWS SDK for Python to make and read queues."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from support.api import eventually
from support.server import free_port

REGION = "eu-west-1"


class QueueServer:
    """One process of moto."""

    def __init__(self, folder: Path):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = open(folder / "moto.log", "wb")  # noqa: SIM115
        command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        self.sqs = boto3.client(
            "sqs",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="reader",
            aws_secret_access_key="reader",
            config=Config(retries={"max_attempts": 1}),
        )
        eventually(self._answers, 30, "the queue server did not start")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/moto-api/", timeout=5).status_code < 500
        except httpx.TransportError:
            return False

    def queue(self, name: str, **attributes: str) -> "Queue":
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return Queue(self, url)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()


class Queue:
    """One queue, read with the SDK."""

    def __init__(self, server: QueueServer, url: str):
        self.server = server
        self.url = url
        self.arn = f"arn:aws:sqs:{REGION}:123456789012:{url.rsplit('/', 1)[1]}"

    def receive(self, count: int = 1, timeout: float = 20.0) -> "list[dict[str, Any]]":
        """Waits until so many messages were there, takes them out, and returns them."""
        got: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout
        while len(got) < count:
            assert time.monotonic() < deadline, f"{len(got)} of {count} messages came within {timeout} s"
            got.extend(self._take())
        return got

    def _take(self) -> "list[dict[str, Any]]":
        answer = self.server.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        )
        messages = answer.get("Messages", [])
        for message in messages:
            self.server.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def is_empty(self) -> bool:
        time.sleep(0.3)
        return self._take() == []

    def delete(self) -> None:
        self.server.sqs.delete_queue(QueueUrl=self.url)


def attributes(message: "dict[str, Any]") -> "dict[str, str]":
    found = message.get("MessageAttributes", {})
    assert all(value["DataType"] == "String" for value in found.values()), found
    return {name: value["StringValue"] for name, value in found.items()}


def body(message: "dict[str, Any]") -> Any:
    return json.loads(message["Body"])

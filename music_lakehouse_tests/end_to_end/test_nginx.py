"""docker/nginx.conf as it stands, but for its ports and files, by a real nginx in front of Dagster's real webserver."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from music_lakehouse.cli.embedded import is_listening
from music_lakehouse.simulator.broker import free_port
from music_lakehouse_tests.compose import BIN, REPOSITORY
from music_lakehouse_tests.secure_broker import Authority

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin") or shutil.which("nginx")

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]

READER, WRITER = ("ann", "reads-only"), ("bob", "writes-too")
# Refused where nothing may be changed, whatever it names.
CHANGE = "mutation { reloadWorkspace { __typename } }"


class Proxy:
    """Where readers and writers come in, and who signed for it."""

    def __init__(self, readers: str, writers: str, authority: Path) -> None:
        self.readers, self.writers, self._authority = readers, writers, str(authority)

    def query(self, url: str, graphql: str, user: tuple[str, str] | None) -> requests.Response:
        return requests.post(f"{url}/graphql", json={"query": graphql}, auth=user, verify=self._authority, timeout=60)

    def says(self, url: str, graphql: str, user: tuple[str, str]) -> Any:
        answer = self.query(url, graphql, user)
        assert answer.ok, answer.text
        return answer.json()["data"]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    root = tmp_path_factory.mktemp("nginx")
    authority = Authority(root)
    certificate = authority.certificate("server")
    for name, users in (("users", (READER, WRITER)), ("writers", (WRITER,))):
        (root / f"{name}.htpasswd").write_text("".join(f"{user}:{_hashed(password)}\n" for user, password in users))
    ports = {str(port): str(free_port()) for port in (3000, 3001, 8443, 8444)}
    text = (REPOSITORY / "docker" / "nginx.conf").read_text()
    for old, new in {**ports, "/etc/lakehouse/server.pem": str(certificate), "/etc/lakehouse": str(root)}.items():
        text = text.replace(old, new)
    (root / "nginx.conf").write_text(text.replace("/tmp/lakehouse-nginx", str(root / "nginx")))
    webserver = [str(BIN / "dagster-webserver"), "--host", "127.0.0.1", "--empty-workspace"]
    commands = [
        [*webserver, "--port", ports["3000"]],
        [*webserver, "--port", ports["3001"], "--read-only"],
        [
            str(NGINX),
            "-c",
            str(root / "nginx.conf"),
            "-e",
            str(root / "nginx-error.log"),
            "-g",
            f"daemon off; user {getpass.getuser()};",
        ],
    ]
    running = []
    with (root / "log").open("wb") as log:
        for command in commands:
            running.append(subprocess.Popen(command, cwd=root, stdout=log, stderr=log))
    try:
        deadline = time.monotonic() + 60
        while not all(is_listening(int(port)) for port in ports.values()):
            assert time.monotonic() < deadline, (root / "log").read_text()
            time.sleep(0.2)
        yield Proxy(f"https://127.0.0.1:{ports['8443']}", f"https://127.0.0.1:{ports['8444']}", authority.file)
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def test_nobody_comes_in_without_a_log_in_or_with_a_wrong_one(proxy: Proxy) -> None:
    for url in (proxy.readers, proxy.writers):
        for user in (None, (READER[0], "wrong")):
            assert proxy.query(url, "{ version }", user).status_code == 401
    assert proxy.query(proxy.writers, "{ version }", READER).status_code == 401


def test_readers_see_and_change_nothing(proxy: Proxy) -> None:
    assert proxy.says(proxy.readers, "{ version }", READER)["version"]
    assert proxy.says(proxy.readers, CHANGE, READER)["reloadWorkspace"]["__typename"] == "UnauthorizedError"


def test_writers_may_change(proxy: Proxy) -> None:
    assert proxy.says(proxy.writers, CHANGE, WRITER)["reloadWorkspace"]["__typename"] == "Workspace"


def _hashed(password: str) -> str:
    done = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()

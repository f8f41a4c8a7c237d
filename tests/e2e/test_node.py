"""SendGrid's own packages for Node: one sends by our API, the other takes the signature of what we post."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import subprocess
from base64 import b64encode
from email import message_from_bytes, policy
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.e2e.conftest import Town
from tests.e2e.endpoint import listening, sign

from devstack.openfolder import open_folder
from devstack.packages import cache

HERE = Path(__file__).parent / "node"
LOCK = HERE / "package-lock.json"

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("here")]
needs_node = pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not installed")


@pytest.fixture(scope="module")
def modules() -> Path:
    """The installed packages: once a machine and lock file, whoever tests beside."""
    root = open_folder(cache() / f"node-{sha256(LOCK.read_bytes()).hexdigest()[:12]}")
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "done").exists():
            for file in (LOCK, HERE / "package.json"):
                shutil.copy(file, root)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            (root / "done").touch()
    return root / "node_modules"


async def run(script: str, modules: Path, given: object) -> Any:
    """Run one of our scripts; it is told nothing of the machine's proxies."""
    done = await asyncio.to_thread(
        subprocess.run,
        ["node", HERE / script],
        input=json.dumps(given).encode(),
        capture_output=True,
        env={"PATH": os.environ["PATH"], "NODE_PATH": str(modules)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def address() -> str:
    return f"ok+{uuid4().hex[:10]}@tls.test"


def test_the_lock_file_names_no_host_and_every_packages_digest() -> None:
    assert "://" not in LOCK.read_text()
    packages = json.loads(LOCK.read_text())["packages"]
    assert all("integrity" in package for name, package in packages.items() if name)


@needs_node
async def test_the_official_package_for_node_sends(here: Town, modules: Path) -> None:
    to, other = address(), address()
    mail = {
        "from": {"email": here.sender, "name": "Le Café"},
        "subject": "Für Dich ☕",
        "text": "Dear {{name}}",
        "html": "<p>Dear {{name}}</p>",
        "personalizations": [
            {"to": {"email": to, "name": "Ann"}, "substitutions": {"name": "Ann"}, "customArgs": {"order": "1"}},
            {"to": [other], "substitutions": {"name": "Bob"}, "headers": {"X-Who": "second"}},
        ],
        "categories": ["node"],
        "attachments": [{"content": b64encode(b"a,b\n").decode(), "filename": "a.csv", "type": "text/csv", "disposition": "attachment"}],
        "replyTo": "help@sender.test",
    }
    answer = await run("send.js", modules, {"api": here.fleet.api_url, "key": here.api_key, "mail": mail})
    assert (answer["status"], answer["body"]) == (202, "")
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", answer["headers"]["x-message-id"])
    for recipient, name in ((to, "Ann"), (other, "Bob")):
        (found,) = await here.arrived(recipient)
        assert found["dkim"] == "pass"
        parsed = message_from_bytes(here.raw(found), policy=policy.default)
        assert parsed["Subject"] == "Für Dich ☕"
        assert parsed["From"] == f"Le Café <{here.sender}>"
        assert parsed["X-Who"] == ("second" if name == "Bob" else None)
        assert parsed.get_body(("plain",)).get_content().strip() == f"Dear {name}"
        assert parsed.get_body(("html",)).get_content().strip() == f"<p>Dear {name}</p>"
        (attachment,) = parsed.iter_attachments()
        assert (attachment.get_filename(), attachment.get_content().encode()) == ("a.csv", b"a,b\n")


@needs_node
async def test_sending_to_each_apart_shows_them_not_to_each_other(here: Town, modules: Path) -> None:
    people = [address() for _ in range(3)]
    mail = {"to": people, "from": here.sender, "subject": "Each", "text": "For you alone"}
    answer = await run("send.js", modules, {"api": here.fleet.api_url, "key": here.api_key, "mail": mail, "multiple": True})
    assert answer["status"] == 202
    for to in people:
        (found,) = await here.arrived(to)
        assert [found["to"]] == [to] or to in str(found["to"])
        assert not any(other.encode() in here.raw(found) for other in people if other != to)


@needs_node
async def test_the_official_package_for_node_shows_our_refusals_as_it_shows_sendgrids(here: Town, modules: Path) -> None:
    mail = {"to": "nobody", "from": here.sender, "subject": "x", "text": "x"}
    answer = await run("send.js", modules, {"api": here.fleet.api_url, "key": here.api_key, "mail": mail})
    assert answer["status"] == 400
    assert [(error["message"], error["field"]) for error in answer["body"]["errors"]] == [
        ("Does not contain a valid address.", "personalizations.0.to.0.email")
    ]
    wrong = await run("send.js", modules, {"api": here.fleet.api_url, "key": "SG." + "a" * 22 + "." + "b" * 43, "mail": mail})
    assert wrong["status"] == 401


@needs_node
async def test_the_official_helper_for_node_takes_the_signature_of_what_is_really_posted(hooks: Town, modules: Path) -> None:
    to = address()
    key = sign(hooks)
    async with listening(hooks) as endpoint:
        hooks.send(to, custom_args={"name": 'Zoë ☕ "quoted" </script>'})
        event = await endpoint.hears("delivered", to)
        posts = [{"body": b64encode(post.body).decode(), "headers": post.headers} for post in endpoint.posts]
    assert event["name"] == 'Zoë ☕ "quoted" </script>'
    assert await run("verify.js", modules, {"publicKey": key, "posts": posts}) == [True] * len(posts)
    forged = [post | {"body": b64encode(b"[]\r\n").decode()} for post in posts]
    assert await run("verify.js", modules, {"publicKey": key, "posts": forged}) == [False] * len(posts)

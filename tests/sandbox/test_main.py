import asyncio
import json
import os
import signal
import smtplib
import ssl
import sys
from pathlib import Path

import aiohttp
from tests.sandbox.client import client

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def send_in_tls(port: int) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.25.1.1", port) as peer:
        peer.starttls(context=context)
        peer.sendmail("a@demo.test", ["ok@tls.test"], "Subject: x\r\n\r\nHello\r\n" * 10_000)


async def test_the_process_says_where_it_is_and_sigterm_stops_it(tmp_path: Path) -> None:
    records = tmp_path / "records.json"
    records.write_text(json.dumps([{"name": "rp.demo.test", "type": "MX", "value": "10 in.demo.test"}]))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox",
        "--records",
        str(records),
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    places = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    assert places["pid"] == process.pid
    async with aiohttp.ClientSession(places["inbox_url"]) as http:
        assert {"name": "rp.demo.test", "type": "MX", "value": "10 in.demo.test."} in await (await http.get("/dns")).json()
        await asyncio.to_thread(send_in_tls, places["smtp_port"])
        (mail,) = await (await http.get("/messages", params={"to": "ok@tls.test"})).json()
        assert mail["tls"]
    async with client("127.25.1.1", places["smtp_port"]):  # a connection left open holds nothing up
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_help_tells_the_scripts() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", "--help", env={**os.environ, "PYTHONPATH": str(TOOLS)}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"asyncbounce" in out
    assert b"--records" in out

"""A second judge of our signatures: OpenDKIM, which reads mails from files and public keys from a file, so needs no DNS."""

import base64
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.deliverer.mails import BARE, MESSAGE_ID, NASTY, NOW, composed

from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.messages import Attachment, Content, Head, Part
from scaisend_deliverer.compose import compose
from scaisend_deliverer.sign import DkimKey, sign

OPENDKIM = shutil.which("opendkim", path="/usr/sbin:/usr/bin:/usr/local/sbin")
MAILS = 40

pytestmark = pytest.mark.skipif(OPENDKIM is None, reason="OpenDKIM is not installed")


def verdicts(mails: dict[str, bytes], public_key: bytes, folder: Path) -> dict[str, str]:
    """What OpenDKIM says of each mail: ACCEPT, or REJECT for a bad signature."""
    (folder / "keys").write_bytes(b"s1._domainkey.example.com v=DKIM1; k=rsa; p=" + public_key + b"\n")
    (folder / "conf").write_text(f"Mode v\nTestPublicKeys {folder}/keys\nSyslog no\nOn-BadSignature reject\nOn-NoSignature reject\n")
    for name, wire in mails.items():
        (folder / name).write_bytes(wire)
    command = [str(OPENDKIM), "-x", str(folder / "conf"), "-t", ",".join(str(folder / name) for name in mails), "-vv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return dict(re.findall(r"/(\w+): mlfi_eom\(\) returned SMFIS_(\w+)", done.stdout + done.stderr))


def test_opendkim_verifies_what_we_sign_and_sees_what_was_changed(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    dkim_key = DkimKey.from_der("example.com", "s1", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    public_key = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    dice = random.Random(6376)

    def text() -> str:
        return "".join(dice.choices([*NASTY, "word ", "word ", "\n", "größer "], k=dice.randrange(60)))

    good: dict[str, bytes] = {}
    for number in range(MAILS):
        head = Head(
            sender=Mailbox(Address("shop", "example.com"), text()),
            to=(Mailbox(Address("jo", "example.org"), text()),),
            subject=text(),
            headers={"X-Own": text(), "List-Unsubscribe": "<https://example.com/u>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
        )
        attachments = (Attachment(dice.randbytes(500), text()),) if number % 2 else ()
        mail = composed(
            compose(
                head, Content((Part("text/plain", text()), Part("text/html", text())), attachments), BARE, message_id=MESSAGE_ID, date=NOW
            )
        )
        good[f"good{number}"] = b"".join(mail.wire(sign(mail, dkim_key, NOW)))
    one = good["good0"]
    bad = {
        "from": b"From: evil@example.org\r\n" + one,
        "body": one + b"x\r\n",
        "list": one.replace(b"https://example.com/u", b"https://example.com/v"),
    }
    found = verdicts(good | bad, public_key, tmp_path)
    assert found == dict.fromkeys(good, "ACCEPT") | dict.fromkeys(bad, "REJECT")

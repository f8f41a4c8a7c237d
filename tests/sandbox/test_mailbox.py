from hypothesis import given
from hypothesis import strategies as st

from sandbox.mail import Mail
from sandbox.mailbox import Mailbox
from sandbox.zones import mx_hosts


def a_mail(to: str) -> Mail:
    return Mail(0.0, mx_hosts(1)[0], "1", "", "", False, "", (to,), b"\r\n")


@given(st.lists(st.sampled_from(["a@x.test", "B@x.test"]), max_size=20), st.integers(1, 5))
def test_the_newest_are_kept_in_order(recipients: list[str], most: int) -> None:
    mailbox = Mailbox(most)
    for to in recipients:
        mailbox.put(a_mail(to))
    kept = [(str(number), to) for number, to in enumerate(recipients, 1)][-most:][::-1]
    assert [(mail_id, mail.forward_paths[0]) for mail_id, mail in mailbox.newest()] == kept
    assert [mail_id for mail_id, _ in mailbox.newest(to="b@X.test", limit=2)] == [mail_id for mail_id, to in kept if to == "B@x.test"][:2]


def test_a_message_id_is_read_from_the_header_alone() -> None:
    def read(content: bytes) -> str:
        return Mail(0.0, mx_hosts(1)[0], "1", "", "", False, "", (), content).message_id

    assert read(b"Subject: x\r\nmessage-id:\r\n <a@b>\r\n\r\n") == "<a@b>"
    assert read(b"Subject: x\r\n\r\nMessage-ID: <a@b>\r\n") == ""

"""The inbox as a person sees it: a list that refreshes itself, and a page per mail, whose HTML part stands in a sandboxed frame."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from sandbox.summary import Content, Summary

FRAME_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'"

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fbfbfa}
h1{font-size:1.3rem;margin:0 0 1rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #e3e3df;vertical-align:top;overflow-wrap:anywhere}
th{font-weight:600;color:#5b6472}
a{color:#0b57a4;text-decoration:none}
a:hover{text-decoration:underline}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#fff;border:1px solid #e3e3df;padding:1rem}
iframe{width:100%;height:28rem;border:1px solid #e3e3df;background:#fff}
.pass{color:#1a7f37}.fail{color:#b42318}.none,.dim{color:#7b8494}
"""


def list_page(mails: list[Summary], to: str, kept: int) -> str:
    """Return the list, newest first."""
    filtered = f' to {escape(to)} (<a href="/">all</a>)' if to else ""
    empty = "" if mails else "<p class=dim>Nothing yet. This page looks again every three seconds.</p>"
    return _page(
        "Inbox",
        f"<h1>Inbox of the small internet</h1><p class=dim>{len(mails)} newest of {kept} kept{filtered}</p>"
        f"<table><tr><th>UTC<th>From<th>Recipient<th>Subject<th>Wire<th>DKIM</tr>{''.join(map(_row, mails))}</table>{empty}",
        refresh=True,
    )


def mail_page(mail: Summary, content: Content) -> str:
    """Return one mail: what stands in it and what was said over SMTP."""
    envelope = mail.envelope
    facts = {
        "From": mail.from_,
        "To": mail.to,
        "Cc": mail.cc,
        "Message-ID": mail.message_id,
        "Envelope": f"from <{envelope.from_}> to <{'>, <'.join(envelope.to)}>",
        "Received": f"{_clock(mail.received_at)} UTC by {envelope.mx} [{envelope.address}] from {envelope.helo} [{envelope.peer}]",
        "Wire": f"{'TLS' if mail.tls else 'in the clear'}, {mail.size:,} octets",
        "Attachments": ", ".join(f"{part.name} ({part.media_type}, {part.octets:,} octets)" for part in content.attachments),
    }
    rows = "".join(f"<tr><th>{name}<td>{escape(value)}</tr>" for name, value in facts.items() if value)
    html = f'<h2>HTML</h2><iframe sandbox src="/mail/{escape(mail.id)}/html"></iframe>' if content.html else ""
    text = f"<h2>Text</h2><pre>{escape(content.text)}</pre>" if content.text else ""
    return _page(
        mail.subject,
        f'<p><a href="/">← Inbox</a> · <a href="/messages/{escape(mail.id)}/raw">source</a></p><h1>{_subject(mail)}</h1>'
        f"<table>{rows}<tr><th>DKIM<td>{_dkim(mail)} {escape(mail.dkim_domain)}</tr></table>{text}{html}",
        refresh=False,
    )


def _row(mail: Summary) -> str:
    cells = (
        f"<span class=dim>{_clock(mail.received_at)}</span>",
        escape(mail.from_),
        escape(", ".join(mail.envelope.to)),
        f'<a href="/mail/{escape(mail.id)}">{_subject(mail)}</a>',
        "TLS" if mail.tls else "<span class=dim>clear</span>",
        _dkim(mail),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _page(title: str, body: str, *, refresh: bool) -> str:
    again = '<meta http-equiv=refresh content="3">' if refresh else ""
    head = f"<meta charset=utf-8><title>{escape(title)}</title>{again}<style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>"


def _subject(mail: Summary) -> str:
    return escape(mail.subject) or "(no subject)"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _dkim(mail: Summary) -> str:
    return f'<span class="{mail.dkim}">{mail.dkim}</span>'

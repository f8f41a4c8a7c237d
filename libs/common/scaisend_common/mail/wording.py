"""What a server's words say where its codes do not: our own table of phrases.

Readings are tried in order and the first with a matching phrase is the answer. Words about the sender come before words about the
recipient, since "user unknown" is also said to senders on a blocklist, and only words about the recipient make us suppress an address.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Reading(StrEnum):
    """What a refusal complains of."""

    RATE = "rate"  # too much or too fast
    AUTHENTICATION = "authentication"  # SPF, DKIM, DMARC, reverse DNS, the sender's domain
    REPUTATION = "reputation"  # blocklists, complaints, policy against this sender
    CONTENT = "content"  # spam, viruses, links, attachments
    SIZE = "size"
    FULL = "full"  # the mailbox is over its quota
    DISABLED = "disabled"  # the mailbox exists and takes no mail
    GONE = "gone"  # there is no such mailbox or domain
    TECHNICAL = "technical"  # relaying, loops, time-outs, protocol


# Parts of phrases; `~` in a phrase stands for up to 60 characters of one sentence.
_BOX = r"\b(?:user ?(?:name)?|recipient|mail ?box|account|address|person|e-?mail(?: address| account)?|inbox|alias|id)s?\b"
_GAP = r"[^.]{0,60}?"

_PHRASES: dict[Reading, tuple[str, ...]] = {
    Reading.RATE: (
        r"rate[- ]?limit",
        r"throttl",
        r"too (?:many|much) (?:e-?)?(?:messages|mails?|connections?|recipients|errors|sessions)",
        r"too (?:fast|quickly|frequent)",
        r"unusual (?:rate|volume|traffic)|unexpected volume|mail flood",
        r"receiving mail (?:at a rate|too quickly)|receivingrate",
        r"(?:hourly|daily|message|sending) (?:limit|quota) ~(?:exceeded|reached)",
        r"\[ts+0\d\]",  # Yahoo
    ),
    Reading.AUTHENTICATION: (
        r"\b(?:dmarc|spf|dkim|ptr|rdns|fcrdns)\b|reverse dns",
        r"unauthenticated|not authenticated|authentication (?:failed|failure|required|checks?|results?)",
        r"must issue a starttls|encryption (?:is )?(?:required|needed)",
        r"cannot find your (?:reverse )?host ?name|helo command rejected|(?:bad|invalid) helo",
        r"sender(?:'s)? (?:address|domain)~(?:not exist|not found|not resolve|unresolvable|verif)",
        r"domain of sender|sender verif",
    ),
    Reading.REPUTATION: (
        r"(?:black|block|deny) ?-?list|\b\w*(?:dnsb|rb)l\b|on our block",
        r"spamhaus|spamcop|barracuda ?central|\bsorbs\b|\b(?:su|u)r[bi]bl\b|senderbase|senderscore|invaluement|ivmsip|cloudmark|abuseat",
        r"reputation|complaint|unsolicited|bad sender|invalid sender",
        r"\b(?:is|are|was|were|been|being) (?:temporarily |currently |permanently )?(?:block|bann|barr|list)ed",
        r"blocked (?:by|using|due|for|from)",
        r"\b(?:ip|host|sender|client|network|server)\b(?: address)?~\b(?:block|reject|denied|refused|not allowed)",
        r"dynamic (?:ip|address)|residential|open (?:relay|proxy)",
        r"policy (?:reason|restriction|violation)|(?:due to|for|violates?|against) (?:\w+ ){0,3}polic(?:y|ies)",
    ),
    Reading.CONTENT: (
        r"\bspam|virus|malware|malicious|phish|\bcontents?\b|suspicious|junk ?mail|message filtered",
        r"(?:prohibited|banned|blocked|dangerous|illegal|forbidden) (?:attachment|file|extension|url|link)",
        r"\b(?:urls?|attachments?)\b~(?:block|list|reject|not allowed)",
    ),
    Reading.SIZE: (
        r"(?:message|mail|size)\b~(?:too (?:big|large|long)|exceeds? ~(?:maximum|limit|size))",
        r"message size|too large",
    ),
    Reading.FULL: (
        r"over ?-?quota|quota ~(?:exceeded|full|violation|reached)|exceed(?:s|ed|ing)? (?:\w+ ){0,3}(?:quota|storage|space)",
        r"(?:mail ?box|inbox|folder|account|maildir)\b~\b(?:full|exceeded|over (?:its|the|quota))",
        r"out of storage|(?:insufficient|not enough) (?:\w+ ){0,2}(?:storage|space)|(?:mailbox|storage) (?:size )?limit|no space left",
        r"bo[iî]te ~pleine|postfach ~voll|buz[oó]n lleno|casella piena",
    ),
    Reading.DISABLED: (
        _BOX + r"~\b(?:disabled|inactive|suspended|deactivated|locked|frozen|expired|closed|dormant|not (?:active|activated))\b",
        r"(?:disabled|inactive|suspended|deactivated|locked|expired) " + _BOX + r"|disableduser",
        _BOX + r"~(?:not accept(?:ing)?|cannot (?:accept|receive)|unable to receive)\b",
    ),
    Reading.GONE: (
        r"\b(?:unknown|no such|no|invalid|bad|non-?existent|unrecognized|undeliverable|unrout(?:e)?able) (?:\w+ )?" + _BOX,
        _BOX
        + r"~\b(?:unknown|not (?:\w+ )?(?:found|exists?|known|recognized|listed|valid)|invalid|unrecognized|undeliverable|has moved)\b",
        _BOX + r"~\b(?:does|do|did) ?(?:not|n.?t) (?:\w+ )?(?:exist|have)",
        _BOX + r"~\bno longer (?:\w+ )?(?:exists?|valid|here|available|used|in use|active)",
        r"not (?:a )?(?:known|valid|local) " + _BOX + r"|" + _BOX + r" (?:name )?not (?:allowed|here|available)",
        r"mail ?box (?:is )?unavailable|not our customer|no mail-?box here|cannot deliver mail for|null mx",
        r"recip(?:ient)?notfound|user_unknown|recipient address rejected: access denied",
        r"\b(?:domain|host)\b~(?:not exist|not found|unknown)",
        r"(?:utilisateur|destinataire|adresse) inconnue?|empf.{1,2}nger ~unbekannt|usuario desconocido|utente sconosciuto",
    ),
    Reading.TECHNICAL: (
        r"\brelay|rcpthosts|\bloops?\b|too many hops|tim(?:e|ed)[- ]?out|\bdns\b|no route|unreachable|refused|expired",
        r"lost connection|connection (?:was )?(?:reset|closed|dropped|lost)|bad sequence|syntax error|not implemented",
        r"internal (?:server )?error|configuration|local (?:error|problem)|line too long|certificate|\btls\b",
    ),
}
_PATTERNS = tuple((reading, re.compile("|".join(phrases).replace("~", _GAP), re.IGNORECASE)) for reading, phrases in _PHRASES.items())
_MOST = 2000  # characters read: a refusal says what it means in its first lines


def reading(text: str) -> Reading | None:
    """Return what a refusal's words complain of, or None where no phrase is known."""
    head = text[:_MOST]
    return next((meaning for meaning, pattern in _PATTERNS if pattern.search(head)), None)

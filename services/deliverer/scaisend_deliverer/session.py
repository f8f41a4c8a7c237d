"""A session with one MX host: mail after mail over one connection, in transactions that stand in line (see transaction)."""

from __future__ import annotations

from scaisend_common.mail.events import Hop
from scaisend_deliverer.dialogue import Dialogue
from scaisend_deliverer.offer import Offer
from scaisend_deliverer.target import Target
from scaisend_deliverer.timers import Timers
from scaisend_deliverer.transaction import Transaction


class Session:
    """Made by `opening.open_session`. The first transaction in line talks; the commands of a second may travel behind its mail."""

    def __init__(self, dialogue: Dialogue, target: Target, offer: Offer, tls_version: str, timers: Timers) -> None:
        self.dialogue = dialogue
        self.target = target
        self.offer = offer
        self.timers = timers
        self.mails = 0
        """How many transactions had their turn."""
        self.idle_since = 0.0
        self.answer_seconds = float("inf")
        """How long the server took to answer to the last final dot."""
        self.reset_is_due = False
        self._tls_version = tls_version
        self._local_ip = dialogue.local_ip()
        self._line: list[Transaction] = []
        self._is_over = False
        self._is_spoilt = False

    @property
    def is_usable(self) -> bool:
        """Another mail can be tried: the connection stands and the server has not said goodbye."""
        return not self._is_over and self.dialogue.is_quiet

    @property
    def is_over(self) -> bool:
        """It was closed here: whatever the server still says is for nobody."""
        return self._is_over

    @property
    def is_lent(self) -> bool:
        """A transaction has it."""
        return bool(self._line)

    @property
    def length(self) -> int:
        """How many transactions stand in line."""
        return len(self._line)

    def can_be_followed(self, within: float, behind: int = 1) -> bool:
        """One more may stand in line, behind so many: the server takes commands behind a mail, and took the last within so many seconds."""
        stands = len(self._line) == behind and not (self._is_over or self._is_spoilt)
        return stands and self.offer.pipelining and self.answer_seconds <= within

    def begin(self) -> Transaction:
        """Return a new transaction, last in line. Give it back with `end`."""
        transaction = Transaction(self)
        self._line.append(transaction)
        return transaction

    def end(self, transaction: Transaction) -> None:
        """Take a transaction out of the line; the next one has its turn."""
        had_its_turn = self._line[0] is transaction
        self._line.remove(transaction)
        if self._is_spoilt and had_its_turn:  # before anybody else reads what is answered to its commands
            self.close("the mail that was announced does not follow")
        if self._line:
            self._line[0].wake()

    def first(self) -> Transaction | None:
        """Return the transaction whose turn it is, if there is one."""
        return self._line[0] if self._line else None

    def has(self, transaction: Transaction) -> bool:
        """It stands in line."""
        return transaction in self._line

    def behind(self, transaction: Transaction) -> Transaction | None:
        """Return the transaction whose commands may travel behind the mail of this one, if there is one."""
        return self._line[1] if len(self._line) > 1 and self._line[0] is transaction and not self._is_spoilt else None

    def lose_patience(self, now: float) -> None:
        """Let those who wait in line go elsewhere where the first takes long."""
        for transaction in self._line[1:]:
            transaction.lose_patience(now)

    def spoil(self) -> None:
        """The commands of a transaction that gave up its place are under way: when the one before it has ended, the connection goes."""
        self._is_spoilt = True

    def hop(self, ms: int) -> Hop:
        """Where the mail went, for its events."""
        tls = self._tls_version
        return Hop(mx_host=self.target.host, mx_ip=self.target.address, source_ip=self._local_ip, tls=bool(tls), tls_version=tls, ms=ms)

    async def leave(self) -> None:
        """Close the connection politely."""
        self._is_over = True
        await self.dialogue.leave(self.timers.leave)

    def close(self, why: str) -> None:
        """End the connection at once."""
        self._is_over = True
        self.dialogue.abort(why)

    def __repr__(self) -> str:
        return f"<Session {self.target} {self.mails} mails{'' if self.is_usable else ', over'}>"

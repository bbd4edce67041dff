"""The contract of a journal that several nodes share: who owns a workspace, and how that changes.

There are no leases by the wall clock. The owner raises a *beat*; whoever wants the workspace has to
see the same standing for a whole lease by its own monotonic clock, and then takes it by a
compare-and-set on exactly what it saw. That keeps things alive; what keeps them safe is that every
`append` is a compare-and-set on (epoch, nonce, sequence, digest of the last frame), as ever.

Every call that changes something is durable on as many replicas as are configured before it
returns: an owner that is cut off with a cut-off master can neither renew nor commit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import NamedTuple

from router.journal import Journal, Ownership, StoredRow


class Standing(NamedTuple):
    """What the store says about the owner of a workspace at one moment."""

    epoch: int
    """0 = nobody has ever owned it."""
    nonce: str
    """The owner's; empty = given up."""
    beat: int
    """Raised by each renewal."""
    node: str
    """Name of the node that owns it, or owned it last."""
    heir: str = ""
    """Given up in favour of this node; empty = whoever comes."""

    @property
    def is_free(self) -> bool:
        """Nobody owns it: it was given up, or never owned."""
        return not self.nonce


class NodeEntry(NamedTuple):
    """A node as it announces itself. It is alive while its beat changes."""

    name: str
    boot: str
    """Drawn at each start: two processes with one name are told apart by it."""
    address: str
    """Base URL by which other nodes reach it."""
    beat: int


class SharedJournal(Journal):
    """A journal whose workspaces move between nodes."""

    @abstractmethod
    async def standing(self, workspace: str) -> Standing:
        """Who owns it now. Raises JournalFailed, JournalDamaged."""

    @abstractmethod
    async def claim(self, workspace: str, seen: Standing, node: str) -> Ownership | None:
        """Take the workspace for `node` if its standing is still exactly `seen`; None if it is not.

        Raises JournalFailed (it may have happened: look at `standing`) and JournalDamaged.
        """

    @abstractmethod
    async def renew(self, own: Ownership) -> bool:
        """Raise the beat; False: another owner has it. Raises JournalFailed, also when too few
        replicas have it."""

    @abstractmethod
    async def hand_over(self, own: Ownership, heir: str = "") -> None:
        """Give the workspace up, in favour of the node `heir` if one is named."""

    @abstractmethod
    def peek(self, workspace: str) -> AsyncIterator[list[StoredRow]]:
        """The live rows of a workspace that another node owns, in chunks, checksums verified.

        They are of no one moment: a row that changes meanwhile may be there as it was, as it is, or
        not at all. Good for nothing but to be compared with what `load` gives later. Raises
        JournalFailed, JournalDamaged.
        """

    @abstractmethod
    async def announce(self, node: NodeEntry) -> None:
        """Say that this node is alive. Not waited for on replicas: it decides nothing."""

    @abstractmethod
    async def forget(self, node: NodeEntry) -> None:
        """Take this node's entry out, unless another process has taken its name meanwhile."""

    @abstractmethod
    async def nodes(self) -> list[NodeEntry]:
        """The nodes that have announced themselves, by name; those that died, too."""

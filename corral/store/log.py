"""Change log in memory: the latest changes, and those who wait for the next.

In this room   ChangeLog
Comes in       changes, in order, from one event loop
Goes out       the changes after a revision; a wake-up when a revision is reached
Always true    revisions have no gaps: a revision's place in the list is its distance from the first
Next door      memory.py and sqlite.py feed readers of changes() from one; mirror.py serves watches from one
Start here     ChangeLog.after(), ChangeLog.reach()
"""

import asyncio
from collections.abc import Sequence

from corral.store.interface import Change, Compacted, StoreFailed


class ChangeLog:
    """The changes from `oldest` to `revision`.

    keep  how many changes to hold at least; None: all
    """

    def __init__(self, revision: int = 0, keep: int | None = None) -> None:
        self.revision = revision
        self._keep = keep
        self._changes: list[Change] = []  # the last is the one with `revision`
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._closed = ""  # why nothing comes any more

    @property
    def oldest(self) -> int:
        """The oldest change held; the next to come, when none is."""
        return self.revision - len(self._changes) + 1

    def after(self, since: int, most: int | None = None) -> tuple[Change, ...]:
        """The changes after revision `since`, the first `most` of them; none: there are no newer ones.

        raises  Compacted: it does not reach back that far, or never was at that revision
        """
        if not self.oldest - 1 <= since <= self.revision:
            raise Compacted(since, self.oldest)
        first = since + 1 - self.oldest
        return tuple(self._changes[first:] if most is None else self._changes[first : first + most])

    def extend(self, changes: Sequence[Change]) -> None:
        for change in changes:
            assert change.revision == self.revision + 1, f"{change.revision} after {self.revision}"
            self._changes.append(change)
            self.revision = change.revision
        if self._keep is not None and len(self._changes) > 2 * self._keep:
            del self._changes[
                : len(self._changes) - self._keep
            ]  # seldom: moving the rest costs as much as it holds
        self._wake()

    def forget(self, before: int) -> None:
        """Drop the changes with a revision below `before`."""
        del self._changes[: max(0, min(before, self.revision + 1) - self.oldest)]

    def reset(self, revision: int) -> None:
        """Begin anew after `revision`: what lies between is not known."""
        self.revision, self._changes, self._closed = revision, [], ""
        self._wake()

    def close(self, why: str) -> None:
        """Nothing comes any more: whoever waits gets StoreFailed."""
        self._closed = why
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(self._failure())

    async def reach(self, revision: int) -> None:
        """Wait until `revision` is here.

        raises  StoreFailed: closed, so it will not come
        """
        while self.revision < revision:
            if self._closed:
                raise self._failure()
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((revision, future))
            try:
                await future
            finally:
                if future.cancelled():
                    self._waiting = [w for w in self._waiting if w[1] is not future]

    def _failure(self) -> StoreFailed:
        return StoreFailed(self._closed, hint="Ask again when the server is up.")

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for revision, future in waiting:
            if revision > self.revision:
                self._waiting.append((revision, future))
            elif not future.done():
                future.set_result(None)

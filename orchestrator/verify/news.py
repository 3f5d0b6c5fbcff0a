"""What the checks of the control plane's machine come to, told to the checks of the cluster that depend on it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import suppress


class News:
    """A pipe between two processes, made before they are forked; `ids` are the checks whose results go through it."""

    def __init__(self, ids: frozenset[str]) -> None:
        self._ids = ids
        self._receiving, self._sending = multiprocessing.Pipe(duplex=False)

    def teller(self) -> Callable[[str, bool], None]:
        """For the process that runs these checks: tells the id of one that ended, and whether it passed."""
        self._receiving.close()

        def tell(identity: str, passed: bool) -> None:
            with suppress(OSError):  # nobody depends on it any more
                self._sending.send((identity, passed))

        return tell

    def listener(self) -> Callable[[str], bool]:
        """For the process that depends on them: waits for a check's end; whether it is to be waited for in vain.

        A check that is not among these, or whose process ended without a word, stands in nobody's way.
        """
        self._sending.close()
        known: dict[str, bool] = {}
        ended = False

        def failed(identity: str) -> bool:
            nonlocal ended
            while identity in self._ids and identity not in known and not ended:
                try:
                    told, passed = self._receiving.recv()
                    known[told] = passed
                except (EOFError, OSError):
                    ended = True
            return not known.get(identity, True)

        return failed

    def close(self) -> None:
        """For a process that has no part in it."""
        self._receiving.close()
        self._sending.close()

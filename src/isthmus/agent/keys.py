"""This host's private key, and the one that is to take its place."""

from isthmus.agent.state import StateDir
from isthmus.wireguard.keys import PrivateKey, PublicKey


class Keys:
    """The next key is kept beside the present one until a config names it: only then do others know this host by it.

    From that moment the old key is of no use to anybody, so it goes before the interface is changed: whatever is
    interrupted afterwards, the key that is left is the one that fits.
    """

    def __init__(self, state: StateDir, present: PrivateKey) -> None:
        self.present = present
        self._state = state
        self._next = state.next_key()

    def make_next(self) -> PublicKey:
        """The public half of the next key: of the one of an earlier try, which the server may know, or a fresh one."""
        if self._next is None:
            self._next = self._state.make_next_key()
        return self._next.public()

    def fitting(self, named: str) -> PrivateKey:
        """The key whose public half a config names; the present one where it names none of ours."""
        return self._next if self._next is not None and str(self._next.public()) == named else self.present

    def follow(self, named: str) -> None:
        """Have the next key take the present one's place, for good, where a config names it."""
        if self._next is not None and str(self._next.public()) == named:
            self._state.adopt_next_key()
            self.present, self._next = self._next, None

    def is_mistaken(self, named: str) -> bool:
        """Whether a config names a key that this host does not have: nobody would answer it."""
        return bool(named) and str(self.fitting(named).public()) != named

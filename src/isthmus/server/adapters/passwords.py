"""Argon2id in a thread of its own, so that a hash neither stalls the loop nor lets logins fill both cores."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


class Argon2Passwords:
    """OWASP's parameters: 19 MiB, two passes, one lane."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._pool = ThreadPoolExecutor(1, "argon2")
        self._nobody: str | None = None

    async def hashed(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hasher.hash, password)

    async def verify(self, password: str, encoded: str | None) -> bool:
        known = await asyncio.get_running_loop().run_in_executor(self._pool, self._verify, password, encoded)
        return known and bool(encoded)

    def _verify(self, password: str, encoded: str | None) -> bool:
        if self._nobody is None:
            self._nobody = self._hasher.hash("nobody")
        try:
            return self._hasher.verify(encoded or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False

"""A clock of a host's own, by libfaketime: which time it is, is what a file says."""

from pathlib import Path

from lab.errors import LabUnavailable

LIBRARY = "*/faketime/libfaketimeMT.so.1"


class Clock:
    """Programs that are started with `environment` read it. It begins as the machine's own.

    The library (0.9.10) breaks `time.sleep` of Python 3.11 and later; waiting in asyncio works.
    """

    def __init__(self, file: Path) -> None:
        library = next(Path("/usr/lib").glob(LIBRARY), None)
        if library is None:
            raise LabUnavailable("a clock of a host's own needs a library: apt-get install faketime")
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            # Nobody sets the clock that counts from the start of the machine.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # It would share its memory by process numbers, which are not unique between labs.
            "FAKETIME_DISABLE_SHM": "1",
        }
        self.set(0)

    def set(self, ahead: float) -> None:
        """From now on the clock is so many seconds ahead of the right time."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{ahead:+f}\n")
        draft.replace(self._file)

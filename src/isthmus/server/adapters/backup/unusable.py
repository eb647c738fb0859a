"""Why a backup cannot be made, read or restored, each with what to do about it."""


class BackupUnusable(Exception):
    """`hint` says what to do."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__(title)
        self.title = title
        self.hint = hint


class NoBackup(BackupUnusable):
    """The file is something else."""


class UnknownVersion(BackupUnusable):
    """The file was written by a version of Isthmus that this one cannot read."""


class WrongPassphrase(BackupUnusable):
    """The file is sealed with another passphrase."""


class Damaged(BackupUnusable):
    """A part of the file is not what was written."""


class CutShort(BackupUnusable):
    """The end of the file is missing."""


class NotEmpty(BackupUnusable):
    """Something is already there where a backend is to be restored."""


def damaged(detail: str) -> Damaged:
    return Damaged(f"the backup is damaged: {detail}", "take another copy of it, or an older backup")


def cut_short(detail: str) -> CutShort:
    return CutShort(
        f"the backup is cut short: {detail}", "copy it again from where it is whole, or take an older backup"
    )

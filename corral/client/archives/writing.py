"""Writing: an archive, file after file, under a temporary name until it is whole.

In this room   Writer: a tar that appears under its name only when it is finished and on disk
Comes in       texts; disks as streams of a known length
Goes out       a file; ArchiveFailed, and no file
Next door      moving.py says what goes into it
"""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from corral.client.archives.contents import ArchivedFile
from corral.errors import CorralError, Invalid

MODE: Final = 0o600  # a disk holds secrets
Note = Callable[[int, int], None]


class ArchiveFailed(CorralError):
    """The archive could not be written; nothing of it is left."""

    code = "archive.failed"
    status = 507


class Source(Protocol):
    """Bytes of a known number."""

    size_bytes: int
    sha256: str  # promised

    def read(self, size: int = -1) -> bytes: ...


class Writer:
    """An archive on its way."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: list[ArchivedFile] = []

    def text(self, name: str, content: bytes) -> None:
        self._tar.addfile(_info(name, len(content)), io.BytesIO(content))
        self.files.append(
            ArchivedFile(name=name, size_bytes=len(content), sha256=sha256(content).hexdigest())
        )

    def disk(self, name: str, source: Source, note: Note = lambda done, size: None) -> None:
        """Raises ArchiveFailed: the disk broke off, or arrived with another checksum than promised"""
        reader = _Hashing(source, note)
        self._tar.addfile(_info(name, source.size_bytes), reader)
        digest = reader.digest.hexdigest()
        if source.sha256 and digest != source.sha256:
            raise ArchiveFailed(
                f"{name} arrived with another checksum than its node promised", hint="Try again."
            )
        self.files.append(ArchivedFile(name=name, size_bytes=source.size_bytes, sha256=digest))


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """The archive has its name when the block is left well. raises Invalid: the name is taken; ArchiveFailed"""
    if path.exists():
        raise Invalid("file", path, "a new file", hint="Remove it, or choose another name.")
    temporary = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, MODE)
        with (
            os.fdopen(descriptor, "wb") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            yield Writer(tar)
            tar.close()
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        raise Invalid("file", path, "a new file", hint="Somebody else was faster.") from None
    except OSError as error:
        raise ArchiveFailed(
            f"{path} can't be written: {error.strerror or error}", hint="Is there room?", path=str(path)
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


class _Hashing:
    """Reads on, and remembers what went by."""

    def __init__(self, source: Source, note: Note) -> None:
        self._source, self._note, self._done = source, note, 0
        self.digest = sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        self._done += len(data)
        self._note(self._done, self._source.size_bytes)
        return data


def _info(name: str, size: int) -> tarfile.TarInfo:
    """Owner and times are left out: they mean nothing elsewhere."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, MODE
    return info

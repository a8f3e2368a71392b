"""State: which lab lives in a directory, as written down before anything of it is made."""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from corral.lab.host import LabFailed, write_whole
from corral.lab.plan import LabPlan


class LabState(Struct, frozen=True, kw_only=True):
    plan: LabPlan
    made: tuple[str, ...] = ()  # directories of the host that had to be made as mount points
    context: str = ""  # of the user's command line; empty: none was written

    def save(self) -> None:
        write_whole(_file(self.plan.dir), msgspec.json.encode(self, enc_hook=str).decode())


def load(dir: Path) -> LabState | None:
    """The lab in this directory; None: there is none.

    raises  LabFailed: the file is damaged
    """
    try:
        return msgspec.json.decode(_file(dir).read_bytes(), type=LabState, dec_hook=_from_text)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise LabFailed(f"{_file(dir)} is damaged: {error}", hint="Remove the directory by hand.") from None


def _file(dir: Path) -> Path:
    return dir / "lab.json"


def _from_text(type_: type, text: Any) -> Any:
    assert type_ is Path, type_
    return Path(text)

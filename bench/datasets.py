"""Data sets: where a bench finds public data, and what it does without.

None of it is part of Corral. DATA=folder names where it is: the folder that holds the data sets, or the data set itself.
"""

import os
from pathlib import Path

DEFAULT = "../shared/data"


def data_set(name: str, *files: str) -> Path | None:
    """The folder of the data set that has all these files (patterns); None, and a line that says so: there is none."""
    root = Path(os.environ.get("DATA") or DEFAULT)
    for folder in (root / name, root):
        if folder.is_dir() and all(any(folder.glob(pattern)) for pattern in files):
            print(f"data: {name} from {folder}")
            return folder
    print(
        f"data: {name} is not in {root} (DATA=folder): a synthetic trace of the same shape stands in for it"
    )
    return None

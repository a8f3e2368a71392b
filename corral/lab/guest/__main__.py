"""Build the test guest's image: python -m corral.lab.guest OUT.qcow2"""

import sys
from pathlib import Path

from corral.errors import CorralError
from corral.lab.guest.build import build


def main(words: list[str]) -> int:
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(build(Path(words[0])))
    except CorralError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Generate the messages of agents and controller: `python -m tools.protocol [DIRECTORY]`.

The generated modules are part of the package, so that installing it needs no compiler; a test compares them with what
this makes.
"""

import sys
from pathlib import Path
from typing import Final

from grpc_tools import protoc

ROOT: Final = Path(__file__).parents[1] / "operator"
SOURCE: Final = "metrics_storage/channel/channel.proto"


def generate(target: Path) -> None:
    """Write the modules below a directory, at the places where the package has them.

    Raises:
        RuntimeError: the source cannot be compiled; what is wrong with it is on standard error.
    """
    kinds = ("python", "pyi")
    options = [f"--{kind}_out={target}" for kind in kinds]
    if protoc.main(["protoc", f"--proto_path={ROOT}", *options, SOURCE]):
        raise RuntimeError(f"{SOURCE} cannot be compiled")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)

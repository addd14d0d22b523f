"""The command line: `python -m tools.image` builds, checks and describes the image."""

import argparse
import shutil
import sys
from pathlib import Path

from tools.cluster.errors import ClusterError
from tools.image.build import ensure_image
from tools.image.builders import NAMES

_EXAMPLES = """\
examples:
  python -m tools.image                              build/image.tar, with whatever builder is here
  python -m tools.image --base=debian                on a base made from this system's packages
  python -m tools.image --builder=podman --base=registry.example.com/python:3.12-slim
"""


def main() -> int:
    """0 when the image is built and as it must be."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.image",
        description="Build the image from the Dockerfile, and check what is in it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--builder", choices=NAMES, help="default: the first that answers")
    parser.add_argument(
        "--base", default="auto", metavar="auto|debian|IMAGE", help="what it is built on (default: auto)"
    )
    parser.add_argument("--again", action="store_true", help="build even if nothing has changed")
    parser.add_argument("--output", type=Path, default=Path("build/image.tar"), help="default: %(default)s")
    options = parser.parse_args()
    try:
        image = ensure_image(builder=options.builder, base=options.base, again=options.again)
    except ClusterError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image.archive, options.output)
    contents = image.contents
    print(f"{image.tag}: {contents.size / 1e6:.0f} MB, {contents.ours / 1e6:.0f} MB of them on top of the base")
    for name, size in contents.largest(5):
        print(f"  {size / 1e6:6.1f} MB  {name}")
    print(f"user {contents.config['User']}, entry point {contents.config['Entrypoint'][0]}, no compiler, no pip")
    print(f"written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

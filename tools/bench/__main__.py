"""`make bench`: claims bound in a burst, from `kubectl apply` to a Pod's first byte, the library, agents, archives."""

import argparse
import sys
from typing import Final

from tools.bench import agents, claims, fleet, library, pods, streams
from tools.cluster.nodes.commands import obstacle

_EXAMPLES: Final = """\
examples:
  python -m tools.bench                       everything
  python -m tools.bench claims --count=1000   a larger burst
  python -m tools.bench pods --count=50       more Pods, one after the other
  python -m tools.bench library --count=5000  the library's calls beside so many storages
  python -m tools.bench agents --count=1000   so many agents that connect at once
  python -m tools.bench streams --count=128   archives of so many MiB that go to the vault
  python -m tools.bench fleet --count=1000    a controller of so many agents, on a real API server with their Nodes
"""
_COUNTS: Final = {"claims": 200, "pods": 10, "library": 5000, "agents": 1000, "streams": 128, "fleet": 1000}


def main() -> int:
    """0 when everything that this machine can measure was measured."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="*",
        choices=[*_COUNTS, []],
        metavar="claims|pods|library|agents|streams|fleet",
        help="default: all",
    )
    parser.add_argument("--count", type=int, metavar="N", help=f"runners, or MiB (default: {_COUNTS})")
    options = parser.parse_args()
    for what in options.what or _COUNTS:
        count = options.count or _COUNTS[what]
        if what == "claims":
            claims.measure(count)
        elif what == "library":
            library.measure(count)
        elif what == "agents":
            agents.measure(count)
        elif what == "streams":
            streams.measure(count)
        elif what == "fleet":
            fleet.measure(count)
        elif problem := obstacle():
            print(f"pods: not measured, no Pods run here: {problem}")
        else:
            pods.measure(count)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `python -m tools.cluster up|down|status|load|build`.

For developers and demos, who want a cluster that stays until it is taken down. Not responsible for the
clusters of test runs: those start and end by themselves.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tools.cluster import detached, kind
from tools.cluster.choice import Wish, choose
from tools.cluster.errors import ClusterError

_EXAMPLES = """\
examples:
  python -m tools.cluster up                      start a cluster, or find the one that is up
  export KUBECONFIG=$(python -m tools.cluster up --quiet)
  python -m tools.cluster up --nodes=1            one that runs Pods; Linux, root
  python -m tools.cluster load build/image.tar    an image for its nodes, as `docker save` writes it
  python -m tools.cluster status
  python -m tools.cluster down                    end it and delete everything that it stored
  python -m tools.cluster build                   build all local programs now, minutes, once per machine
  python -m tools.cluster up --cluster=kind --state /tmp/mine
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when done or up, 1 for errors, 3 when `status` finds nothing up."""
    options = _parser().parse_args(arguments)
    # As an exception it passes through every cleanup; by default it would leave half a cluster running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _COMMANDS[options.command](options)
    except ClusterError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted, cleaned up", file=sys.stderr)
        return 130


def _up(options: argparse.Namespace) -> int:
    choice = choose(Wish(options.cluster), kind.obstacle)
    _note(options, f"cluster: {choice.provider} ({choice.reason})")
    if choice.provider == "kind":  # Which has one node in any case.
        handle, done = kind.up(_kind_kubeconfig(options.state), choice.reason)
    else:
        handle, done = detached.up(options.state, choice.reason, nodes=options.nodes)
    _note(options, f"{done}; context {handle.context}")
    print(handle.kubeconfig if options.quiet else f"export KUBECONFIG={handle.kubeconfig}")
    return 0


def _down(options: argparse.Namespace) -> int:
    done = []
    if options.cluster in ("auto", "local"):
        done.append(f"local: {detached.down(options.state)}")
    if options.cluster == "kind" or (options.cluster == "auto" and kind.obstacle() is None):
        done.append(f"kind: {kind.down()}")
        _kind_kubeconfig(options.state).unlink(missing_ok=True)
    _note(options, "\n".join(done))
    return 0


def _status(options: argparse.Namespace) -> int:
    found, text = detached.status(options.state)
    if options.cluster != "kind":
        _note(options, f"local: {text}")
    if options.cluster == "local" or kind.obstacle() is not None:
        return 0 if found else 3
    there = kind.exists()
    _note(options, f"kind: {'up' if there else 'not up'}")
    return 0 if there or (found and options.cluster == "auto") else 3


def _load(options: argparse.Namespace) -> int:
    if choose(Wish(options.cluster), kind.obstacle).provider == "kind":
        kind.load(options.archive)
        _note(options, "loaded into kind")
        return 0
    nodes = detached.load(options.state, options.archive)
    _note(options, f"loaded into {', '.join(nodes)}")
    return 0


def _build(options: argparse.Namespace) -> int:
    from tools.cluster.build import RECIPES, ensure

    for name in options.what or RECIPES:
        _note(options, f"{name}: {ensure(name, again=options.again)}")
    return 0


_COMMANDS = {"up": _up, "down": _down, "status": _status, "load": _load, "build": _build}


def _kind_kubeconfig(state: Path) -> Path:
    # Beside the local cluster's directory, which belongs to that alone.
    return state.parent / "kind.kubeconfig"


def _note(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.cluster",
        description="A real Kubernetes API on this machine, for developers and demos.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|load|build")
    for name, text in (
        ("up", "start a cluster that stays"),
        ("down", "end it"),
        ("status", "is it up?"),
        ("load", "put an image onto its nodes"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--cluster", choices=("auto", "local", "kind"), default="auto", help="provider")
        command.add_argument(
            "--state",
            type=lambda text: Path(text).expanduser().absolute(),
            default=detached.state_directory(),
            metavar="DIR",
            help="directory of the local cluster's data, logs and kubeconfig (default: %(default)s)",
        )
        command.add_argument("--quiet", action="store_true", help="print the kubeconfig's path alone")
        if name == "up":
            command.add_argument("--nodes", type=int, default=0, help="nodes of a local cluster (default: none)")
        if name == "load":
            command.add_argument("archive", type=Path, metavar="IMAGE.tar", help="as `docker save` writes it")
    text = "build the programs of local clusters and cache them"
    command = commands.add_parser("build", help=text, description=text)
    command.add_argument(
        "what",
        nargs="*",
        choices=("control-plane", "crd-server", "policy-evaluator", "image-base", "node-programs", []),
        help="default: all",
    )
    command.add_argument("--again", action="store_true", help="build even if they are cached")
    command.add_argument("--quiet", action="store_true", help="report progress and errors only")
    return parser


if __name__ == "__main__":
    sys.exit(main())

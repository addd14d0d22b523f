"""The command line: `python -m tools.demo up|down`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tools.cluster import Cluster, ClusterError, detached, kind
from tools.cluster.binaries import find_binaries
from tools.cluster.choice import Choice, Wish, choose
from tools.demo.errors import DemoError
from tools.demo.kind_site import KindSite
from tools.demo.local_site import LocalSite
from tools.demo.paths import shown
from tools.demo.screen import Screen
from tools.demo.shell import Shell, Site
from tools.demo.state import State, default_directory
from tools.demo.story import STEPS, Story

_EXAMPLES = """\
examples:
  python -m tools.demo up                     show everything; cluster and operator stay for you to play with
  python -m tools.demo up --cluster=kind
  python -m tools.demo down                   remove everything that `up` made
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all that was shown was checked, 1 when something was not so, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    screen = Screen(STEPS)
    state = State(options.state)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with state.locked():
            if options.command == "up":
                _up(screen, state, options.cluster)
            else:
                _down(screen, state)
    except (DemoError, ClusterError) as exc:
        screen.failure(str(exc))
        if options.command == "up":
            screen.say(
                f"The demo ends here, with everything left as it is for you to look at (operator: {shown(state.log)}). "
                "`make demo` starts anew, `make demo-down` removes it."
            )
        return 1
    except KeyboardInterrupt:
        screen.failure("interrupted; `make demo` starts anew, `make demo-down` removes what is there")
        return 130
    return 0


def _up(screen: Screen, state: State, provider: str) -> None:
    screen.title("Metrics Storage Operator", "A directory for every CI runner, and evidence that cannot get lost.")
    screen.say(
        "Four runners get a directory each and write their metrics. One is collected and deleted; one goes to "
        "quarantine because of a malformed file, and its archive is opened and verified. Commands are shown as you "
        "would type them, with what they print; ✓ is something that was checked. It takes about half a minute."
    )
    if state.exists():
        screen.say("There is an earlier demo; it is taken down first.")
        _remove(screen, state)
    screen.step("A cluster")
    choice = choose(Wish(provider), kind.obstacle)
    screen.say(f"Everything of this demo is below {shown(state.root)}. Cluster: {choice.provider} ({choice.reason}).")
    cluster = _start_cluster(screen, state, choice)
    shell = Shell(screen, cluster.kubeconfig)
    shell.show(f"export KUBECONFIG={shown(cluster.kubeconfig)}", "a variable is set")
    version = shell.show("kubectl get --raw /version | grep gitVersion", "the API server answers")
    screen.check("the API server answers", "gitVersion" in version)
    site: Site = KindSite(shell, cluster) if choice.provider == "kind" else LocalSite(shell, state, cluster)
    Story(shell, site).tell()
    _farewell(screen, shell, site)


def _start_cluster(screen: Screen, state: State, choice: Choice) -> Cluster:
    state.create(choice.provider)
    if choice.provider == "kind":
        with screen.waiting("kind creates a cluster; the first time it downloads the node's image"):
            return kind.up(state.root / "kubeconfig", choice.reason)[0]
    find_binaries()  # Where they have to be built this takes minutes, and says so by itself.
    with screen.waiting("starting etcd, kube-apiserver and kube-controller-manager"):
        return detached.up(state.cluster, choice.reason)[0]


def _farewell(screen: Screen, shell: Shell, site: Site) -> None:
    screen.end(f"{screen.checks} checks, all true, in {screen.elapsed:.0f} s")
    screen.say("Cluster and operator go on running. In your shell:")
    path = f"export PATH={shown(shell.kubectl_directory)}:$PATH\n" if not shell.has_kubectl else ""
    screen.output(f"\n{path}export KUBECONFIG={shown(site.cluster.kubeconfig)}")
    screen.say("Then for example:")
    screen.output(
        "\n"
        "kubectl get mstor -n runners -o wide            # policy, what stalls, the archive\n"
        "kubectl delete mstor runner-evidence -n runners   # archived before it is removed\n"
        "kubectl delete mstor runner-retained -n runners   # its directory stays\n"
        "kubectl delete mstor runner-minimal -n runners    # its archive stays\n"
        "kubectl get events -n runners\n"
        "kubectl explain mstor.spec"
    )
    screen.say("`make demo-down` removes everything; `make demo` starts anew.")


def _down(screen: Screen, state: State) -> None:
    if state.exists():
        _remove(screen, state)
    else:
        screen.output(f"There is no demo in {shown(state.root)}.")


def _remove(screen: Screen, state: State) -> None:
    with screen.waiting("ending the operator and the cluster"):
        done = state.remove()
    screen.output("\n".join(done))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo",
        description="The Metrics Storage Operator on this machine, shown step by step and checked.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down")
    for name, text in (("up", "run the demo"), ("down", "remove everything that it made")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--state",
            type=lambda text: Path(text).expanduser().absolute(),
            default=default_directory(),
            metavar="DIR",
            help="directory of everything that the demo makes (default: %(default)s)",
        )
        if name == "up":
            command.add_argument("--cluster", choices=("auto", "local", "kind"), default="auto", help="provider")
    return parser


if __name__ == "__main__":
    sys.exit(main())

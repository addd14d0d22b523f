"""Claims that are held as a running Pod holds them."""

import json

from tools.installation.runners import Runners


def hold_claim(runners: Runners, name: str, *, held: bool) -> None:
    """Hold a claim back from going, as the finalizer of a running Pod does, or let it go."""
    finalizers = [*((runners.get("pvc", name) or {})["metadata"].get("finalizers", ()))]
    mine = "test.example.com/in-use"
    wanted = [*finalizers, mine] if held else [entry for entry in finalizers if entry != mine]
    runners.kubectl("patch", "pvc", name, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": wanted}}))

"""The proof that no fault loses evidence: deaths, errors and power cuts at every call that changes disk.

`python -m tests.faults --mode quick|full` runs every campaign, or those of `--only`, and prints what was tried and what
was found:

| campaign | in | what is tried |
| --- | --- | --- |
| `kill` | `crash` | a death before each call that changes disk, half a write, beside subvolumes, by strace |
| `errors` | `crash` | each errno at each call |
| `attacks` | `crash` | what the world does besides: replaced directories, forged archives, swapped volumes |
| `power` | `crash` | power cuts on ext4 and XFS |
| `hostile` | `hostile` | directories that attack whoever walks them, and volumes that go away |
| `channel` | `channel` | messages to and from an agent lost, last, twice, overtaken; a side ended at one; wires cut |
| `mutants` | `mutants` | engines that are broken on purpose, each of which the above must notice |

In `crash`, `driver` alone imports the engine: it lives one of the `lives` in a process of its own. `seccomp`, `calls`
and `supervisor` stop that process before each call, and `events` say what happens there. `case` has the volumes and
what lies beside, `history` what was asked and said. `checker`, `ledger` and `footprints` judge the disk and the calls,
without the engine; `campaign` and `power` are the loops over all points.

Each folder has `tries`, what a worker does. `workers` and `tally` are the same for all, and so are `evidence`, which
judges archives and directories, `change`, which breaks an engine, `isolation` and `images`.
"""

"""The proof that no fault loses evidence: deaths, errors and power cuts at every call that changes disk.

`python -m tests.faults --mode quick|full` runs it and prints what was tried and what was found. The parts:

| module | what it is responsible for |
| --- | --- |
| `driver` | the only one that imports the engine: lives one life of a directory in a process of its own |
| `seccomp`, `calls`, `supervisor` | stop that process before every call that changes disk, and decide what happens |
| `events` | what can happen there: death, error, torn write, power cut, a swapped directory |
| `lives`, `case` | what is lived, with what content and beside what neighbours |
| `checker`, `evidence`, `snapshot` | judge the disk against the promises, independently of the engine |
| `ledger`, `footprints` | judge the calls: what was promised before it was durable; what was touched that must not be |
| `campaign`, `power`, `images` | the loops over all points, on real file systems that lose power |
| `mutants`, `mutation`, `trials`, `naive` | engines that are broken on purpose, each of which the above must notice |
| `unit_trial` | unit tests of single steps, for mutants that something else behind the step makes up for |
"""

"""Benchmarks: ours on every driver beside the peers, in one run on one machine.

    hatch run bench              a short comparison on the servers that are installed
    hatch run bench:full         everything; writes the figures of docs/benchmarks.md
    hatch run bench:check        has our CPU time per task grown since the baseline was committed

`contenders` is the table of who takes part and with which settings, `adapters` says how each
declares a task and sends it, `stores` starts the servers, `scenarios` says what is measured and
`runner` repeats it, everybody in turn, so that whatever else the machine does meets all alike.

Every figure comes with how many tasks were lost and how many ran twice: `ledger` is where the tasks
themselves write down that they ran.
"""

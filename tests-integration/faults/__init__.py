"""What goes wrong in production, done to real worker processes on purpose.

Handlers write a history (`history`) that no store can falsify; faults are written into it too; at
the end `checker` proves from it that nothing was lost, repeated without a reason, or early.
"""

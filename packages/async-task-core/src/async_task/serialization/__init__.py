"""Lossless msgpack for task arguments and results.

`codec` turns values into bytes and back, `types` knows the classes a payload may name, `hooks` is
what third parties implement. Nothing in a payload can cause an import.
"""

"""Servers for tests: found by environment, run in a container, or started from a local binary.

* `base` - `LocalServer`, a private instance with the powers to stop, kill and freeze it;
  `shared`, the URL of any server of a kind
* `redis`, `sqs` and further modules - one kind of server each
"""

"""What tests stand on: a fake queue for applications, and the conformance suite of drivers.

For applications:

* `fake` - `FakeQueue`, which records and runs; the fixtures `fake_queue` and `inline_queue`

For drivers:

* `conformance` - `DriverConformance`, the class a driver's author inherits
* `harness` - `DriverHarness`, what that author knows about the backend
* `aspects` - the rules, one module per noun; `rig` - the verbs they are written in
* `run` - the same for any installed driver: `pytest --pyargs async_task.testing.run`
* `servers` - servers to test against, found or started, that can be killed and frozen
* `proxy` - a network that loses replies, resets connections and goes silent
* `plugin` - the pytest plug-in that selects tests by declared capabilities
"""

"""What tests stand on: the conformance suite of drivers, and its harness."""

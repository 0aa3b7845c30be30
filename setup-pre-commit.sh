#!/usr/bin/env bash
# Install the hooks of .pre-commit-config.yaml into this clone.
set -euo pipefail
cd "$(dirname "$0")"

command -v hatch >/dev/null || python3 -m pip install hatch
command -v pre-commit >/dev/null || python3 -m pip install pre-commit
pre-commit install

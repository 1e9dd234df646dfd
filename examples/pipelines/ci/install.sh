#!/usr/bin/env bash
# Installs what the pipelines run: everything by the hashes of the two lock files but the package
# itself, whose version stands in requirements.txt. Needs Python 3.11 or newer; Node.js comes along.
set -euo pipefail

python3 -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
python3 -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
npm ci --no-audit --no-fund

#!/usr/bin/env bash
# Installs what the pipelines run, everything by hash. The package itself is the wheel in this
# folder: none is taken from an index, where anybody could register its name. Needs Python 3.11 or
# newer; Node.js comes along.
set -euo pipefail

shopt -s nullglob
wheels=(hyperpod_node_removal-*.whl)
if ((${#wheels[@]} == 0)) || ! grep -q -e '--hash=sha256:' requirements.txt; then
  echo "error: there is no wheel of hyperpod-node-removal here, or requirements.txt lacks its hash." \
    "Run ci/pin-package.sh WHEEL; the wheel is in a release, and make dist makes it." >&2
  exit 1
fi
install=(python3 -m pip install --quiet --disable-pip-version-check --require-hashes)
"${install[@]}" -r requirements.lock
"${install[@]}" --no-deps --no-index --find-links . --force-reinstall -r requirements.txt
npm ci --no-audit --no-fund

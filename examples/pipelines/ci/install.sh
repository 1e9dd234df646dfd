#!/usr/bin/env bash
# Installs the packages of the pipelines, all by hash. The package itself is the wheel in this
# folder, never one from an index, where anyone could register its name. Needs Python 3.11 or
# later; requirements.lock includes Node.js.
set -euo pipefail

version=$(sed -n 's/^hyperpod-node-removal==\([^ ;]*\).*/\1/p' requirements.txt)
if [[ ! -f hyperpod_node_removal-$version-py3-none-any.whl ]] ||
  ! grep -q -e '--hash=sha256:' requirements.txt; then
  echo "error: there is no wheel of hyperpod-node-removal $version here, or requirements.txt lacks" \
    "its hash. Run ci/pin-package.sh WHEEL; the wheel is in a release, and make dist makes it." >&2
  exit 1
fi
install=(python3 -m pip install --quiet --disable-pip-version-check --require-hashes)
# First, so that a wheel with another hash fails before anything is downloaded.
"${install[@]}" --no-deps --no-index --find-links . --force-reinstall -r requirements.txt
"${install[@]}" -r requirements.lock
npm ci --no-audit --no-fund

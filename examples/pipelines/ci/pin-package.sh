#!/usr/bin/env bash
# Copies a wheel of hyperpod-node-removal here, and writes its version and hash to requirements.txt:
# ci/pin-package.sh WHEEL. The wheel is in a release; in a checkout, `make dist` builds it.
set -euo pipefail

wheel=$(basename "$1")
if [[ ! $wheel =~ ^hyperpod_node_removal-([0-9][0-9a-z.+]*)-py3-none-any\.whl$ ]]; then
  printf 'error: not a wheel of hyperpod-node-removal: %q\n' "$1" >&2
  exit 1
fi
version=${BASH_REMATCH[1]}
hash=$(python3 -m pip --disable-pip-version-check hash "$1" | grep '^--hash=sha256:')
if [[ ! $1 -ef $wheel ]]; then
  rm -f hyperpod_node_removal-*.whl
  cp -- "$1" "$wheel"
fi
comments=$(grep '^#' requirements.txt)
printf '%s\nhyperpod-node-removal==%s \\\n    %s\n' "$comments" "$version" "$hash" >requirements.txt

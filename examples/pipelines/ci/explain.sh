#!/usr/bin/env bash
# Explains what ci/deploy.sh CLUSTER did: ci/explain.sh CLUSTER. Fails if a node was not removed.
set -euo pipefail

# Without a new operation of the stack, explain would show an earlier one again.
if ! grep -q '_IN_PROGRESS' "results/$1/deploy.log"; then
  echo "The deployment did nothing with the stack."
  exit
fi
RESULTS=results/$1 ci/report.sh explain --file "removals/$1.yaml" "hyperpod-node-removal-$1"

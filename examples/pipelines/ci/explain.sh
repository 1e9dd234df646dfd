#!/usr/bin/env bash
# Tells what came of ci/deploy.sh CLUSTER: ci/explain.sh CLUSTER. Fails if a node is still there.
set -euo pipefail

# Without an operation of the stack, the last one is an old one, and told already.
if ! grep -q '_IN_PROGRESS' "results/$1/deploy.log"; then
  echo "The deployment did nothing with the stack."
  exit
fi
RESULTS=results/$1 ci/report.sh explain --file "removals/$1.yaml" "hyperpod-node-removal-$1"

#!/usr/bin/env bash
# Deploys the stack of removals/CLUSTER.yaml: ci/deploy.sh CLUSTER.
set -euo pipefail

mkdir -p "results/$1"
npx --no-install cdk deploy --require-approval never --progress events \
  "hyperpod-node-removal-$1" 2>&1 | tee "results/$1/deploy.log"

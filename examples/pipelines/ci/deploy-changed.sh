#!/usr/bin/env bash
# Deploys and explains the removal files that have changed since COMMIT, one after the other:
# ci/deploy-changed.sh COMMIT. A failure in one cluster does not stop the others. Deploys with
# $REMOVAL_DEPLOY_ROLE, and explains with $REMOVAL_READ_ROLE.
set -euo pipefail

clusters=$(ci/clusters.sh since "$1")
failed=()
for cluster in $clusters; do
  deployed=true
  AWS_ROLE_ARN=$REMOVAL_DEPLOY_ROLE ci/deploy.sh "$cluster" || deployed=false
  AWS_ROLE_ARN=$REMOVAL_READ_ROLE ci/explain.sh "$cluster" || deployed=false
  [[ $deployed == true ]] || failed+=("$cluster")
done
if ((${#failed[@]})); then
  echo "Failed: ${failed[*]}" >&2
  exit 1
fi

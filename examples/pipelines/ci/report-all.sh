#!/usr/bin/env bash
# Runs ci/report.sh on every removal file: ci/report-all.sh validate | plan.
set -euo pipefail

shopt -s nullglob
files=(removals/*)
if ((${#files[@]} == 0)); then
  echo "There is no removal file."
  exit
fi
ci/report.sh "$1" "${files[@]}"

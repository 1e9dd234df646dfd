#!/usr/bin/env bash
# Runs `hyperpod-node-removal COMMAND ARGUMENT...` and exits as it does.
#
# The log gets a table, and GitHub or GitLab a mark on each line that is wrong. $RESULTS, or
# results, gets COMMAND.json, COMMAND.xml (JUnit) and, unless it is validate, COMMAND.md.
set -euo pipefail

command=$1
shift
results=${RESULTS:-results}
mkdir -p "$results"

hyperpod-node-removal "$command" --json "$@" >"$results/$command.json" || true
if [[ $command != validate ]]; then
  hyperpod-node-removal "$command" --markdown "$@" >"$results/$command.md" || true
  if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
    cat "$results/$command.md" >>"$GITHUB_STEP_SUMMARY"
  fi
fi

options=(--junit "$results/$command.xml")
if [[ ${GITHUB_ACTIONS:-} == true ]]; then
  options+=(--annotations github)
elif [[ ${GITLAB_CI:-} == true ]]; then
  options+=(--code-quality "$results/$command.quality.json")
fi
hyperpod-node-removal "$command" "${options[@]}" "$@"

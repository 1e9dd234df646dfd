#!/usr/bin/env bash
# Runs `hyperpod-node-removal COMMAND ARGUMENT...`, by default on all removal files, and exits with its
# exit code: ci/report.sh COMMAND [ARGUMENT...].
#
# Prints a table, and annotates the wrong lines of files in GitHub or GitLab. Writes COMMAND.json,
# COMMAND.xml (JUnit), and, unless it is validate, COMMAND.md to the folder $RESULTS, or results.
set -euo pipefail

command=$1
shift
if (($# == 0)); then
  shopt -s nullglob
  set -- removals/*
  if (($# == 0)); then
    echo "There is no removal file."
    exit
  fi
fi
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

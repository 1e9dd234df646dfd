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
rm -f "$results/$command".{json,md,xml,quality.json}

options=(--json-file "$results/$command.json" --junit "$results/$command.xml")
if [[ $command != validate ]]; then
  options+=(--markdown-file "$results/$command.md")
fi
if [[ ${GITHUB_ACTIONS:-} == true ]]; then
  options+=(--annotations github)
elif [[ ${GITLAB_CI:-} == true ]]; then
  options+=(--code-quality "$results/$command.quality.json")
fi

# All reports are of one run, so they agree with each other and with the exit code.
code=0
hyperpod-node-removal "$command" "${options[@]}" "$@" || code=$?
if [[ -n ${GITHUB_STEP_SUMMARY:-} && -e $results/$command.md ]]; then
  cat "$results/$command.md" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"

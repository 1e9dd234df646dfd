#!/usr/bin/env bash
# Synthesizes the app of cdk.json, and fails on findings of cdk-nag: ci/synth.sh [OPTION...].
set -euo pipefail

if (($# == 0)) && ! compgen -G 'removals/*' >/dev/null; then
  echo "There is no removal file." # the CDK CLI fails on an app without stacks
  exit
fi
npx --no-install cdk synth --quiet "$@"

#!/bin/bash
# Installs what is missing, runs all tests (or those named: tools/test.sh //src/data/...) and prints "N passed, N
# failed" as its last line, counted over test cases. Exits non-zero where one failed, something did not build or none
# ran.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
tools/install_dependencies.sh

events=$(mktemp)
trap 'rm -f "$events"' EXIT
options=(--keep_going "--build_event_json_file=$events")
[[ -t 2 ]] || options+=(--color=no --curses=no --show_progress_rate_limit=30)
status=0
bazel test "${options[@]}" -- "${@:-//...}" </dev/null || status=$?
python3 tools/count_tests.py "$events" "$status"

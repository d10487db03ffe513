#!/bin/bash
# Installs missing packages, runs all tests (or the given ones: tools/test.sh //src/data/...) and prints "N passed, N
# failed" as its last line, counted over test cases. Exits with an error if a test failed, something did not build or no
# test ran.
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

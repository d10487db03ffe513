#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test. Its last line counts test cases: "N passed, N failed".
#
# Usage: tools/test.sh [Bazel's targets or flags; default //...]
set -uo pipefail
cd "$(dirname "$0")/.."
tools/install_dependencies.sh || exit 1
[ $# -gt 0 ] || set -- //...

results=$(mktemp)
trap 'rm -f "$results"' EXIT
bazel test --color=no --curses=no --show_progress_rate_limit=30 --build_event_json_file="$results" "$@"
status=$?

# A target counts by the cases in its test.xml; one that wrote none, or did not build, counts as one.
python3 - "$results" "$status" << 'PYTHON'
import json, sys, urllib.parse, xml.etree.ElementTree as ET

passed = failed = 0
for line in open(sys.argv[1], encoding="utf-8"):
    event = json.loads(line)
    if "testResult" in event:
        result = event["testResult"]
        good = result["status"] == "PASSED"
        cases = bad = 0
        for output in result.get("testActionOutput", []):
            if output["name"] == "test.xml":
                try:
                    root = ET.parse(urllib.parse.unquote(output["uri"].removeprefix("file://"))).getroot()
                    suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
                    for suite in suites:
                        cases += int(suite.get("tests", 0)) - int(suite.get("disabled", 0))
                        bad += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                except (ET.ParseError, OSError):
                    pass
        if good:
            passed += max(1, cases)
        else:
            failed += max(1, bad)
            passed += max(0, cases - max(1, bad))
    elif "targetCompleted" in event.get("id", {}) and "completed" in event and not event["completed"].get("success"):
        failed += 1
if int(sys.argv[2]) != 0 and failed == 0:
    failed = 1
print(f"{passed} passed, {failed} failed")
sys.exit(0 if passed > 0 and failed == 0 else 1)
PYTHON

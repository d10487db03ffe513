"""Prints "N passed, N failed" for a `bazel test`, counted over test cases; exits 1 unless all passed.

    count_tests.py BUILD_EVENTS BAZEL_STATUS

BUILD_EVENTS is what --build_event_json_file wrote, BAZEL_STATUS Bazel's own exit status.
"""

import json
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree


def count_cases(uri):
    """Returns the numbers of (passed, failed, skipped) cases in a test.xml; (0, 0, 0) if it cannot be read."""
    try:
        path = urllib.request.url2pathname(urllib.parse.urlparse(uri).path)
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return 0, 0, 0
    passed = failed = skipped = 0
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun" or case.get("result") == "skipped":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main(events, bazel_status):
    tests = {}  # label and shard -> (status, uri of its test.xml)
    broken = set()  # labels that did not build
    with open(events, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            key = event.get("id", {})
            if "testResult" in key and "testResult" in event:
                result = event["testResult"]
                xmls = [out.get("uri", "") for out in result.get("testActionOutput", []) if out["name"] == "test.xml"]
                where = (key["testResult"]["label"], key["testResult"].get("shard", 1))
                tests[where] = (result.get("status"), xmls[0] if xmls else "")
            elif "targetCompleted" in key and not event.get("completed", {}).get("success", False):
                broken.add(key["targetCompleted"]["label"])

    passed = failed = skipped = 0
    for status, uri in tests.values():
        cases = count_cases(uri)
        if status in ("PASSED", "FLAKY"):
            # A program that does not report cases counts as one case.
            passed += max(cases[0], 0 if cases[2] else 1)
            skipped += cases[2]
        else:
            # A program that crashed or was stopped has not written its cases, and counts as one failed case.
            passed += cases[0]
            failed += max(cases[1], 1)
            skipped += cases[2]
    failed += len(broken - {label for label, _ in tests})
    if bazel_status != 0 and failed == 0:
        failed = 1
    if passed + failed == 0:
        print("no test ran", file=sys.stderr)
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{tail}")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))

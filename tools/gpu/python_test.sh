#!/bin/sh
# Runs a test in Python: `python_test.sh FILE`.
exec python3 -B "$1"

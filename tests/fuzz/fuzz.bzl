"""Targets for fuzzing, as tests that need no fuzzer."""

def fuzz_target(name, deps, seeds, data):
    """A fuzz target, as a test that gives it each of its seeds once. tests/long/fuzz.sh fuzzes it.

    Args:
      name: the target, whose source is <name>.cc; the test is <name>_seeds_test.
      deps: what the target reads files with.
      seeds: folders of the repository with the seeds.
      data: the filegroups of these folders.
    """
    native.cc_test(
        name = name + "_seeds_test",
        size = "small",
        srcs = [name + ".cc"],
        args = seeds,
        data = data,
        deps = deps + [":replay_main"],
    )

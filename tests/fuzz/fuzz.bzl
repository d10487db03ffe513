"""Fuzz targets, as tests that need no fuzzer."""

def fuzz_target(name, deps, seeds, data):
    """Makes a test that runs a fuzz target once on each of its seeds. tests/long/fuzz.sh fuzzes the target.

    Args:
      name: the target's name. Its source is <name>.cc, and the test is <name>_seeds_test.
      deps: the libraries that the target tests.
      seeds: the folders of the repository that hold the seeds.
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

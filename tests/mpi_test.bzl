"""Tests that run under mpirun."""

def mpi_test(name, np, srcs, deps = [], size = "small", args = [], data = [], tags = [], **kwargs):
    """A GoogleTest binary that all ranks of an MPI job run; it fails when any rank fails.

    Args:
      name: the test; with several rank counts, <name>_np<N> each, and <name> is the suite of them.
      np: ranks, a number or a list of numbers.
      srcs: sources; main() comes from //tests:mpi_main, which starts and ends MPI.
      deps: as for a cc_test.
      size: as for a cc_test.
      args: further arguments of the binary.
      data: files the binary reads.
      tags: as for a cc_test.
      **kwargs: passed to the binary.
    """
    native.cc_binary(
        name = name + "_ranks",
        testonly = True,
        srcs = srcs,
        data = data,
        deps = deps + ["//tests:mpi_main"],
        **kwargs
    )
    counts = np if type(np) == "list" else [np]
    tests = []
    for count in counts:
        test = name if len(counts) == 1 else "%s_np%d" % (name, count)
        tests.append(test)
        native.sh_test(
            name = test,
            size = size,
            srcs = ["//tests:mpirun.sh"],
            args = [str(count), "$(location :%s_ranks)" % name] + args,
            data = [":%s_ranks" % name] + data,
            # The ranks keep both cores busy. tests/peers/mpi.sh runs every test with the tag mpi.
            tags = tags + [
                "cpu:2",
                "mpi",
            ],
        )
    if len(counts) > 1:
        native.test_suite(name = name, tests = tests)

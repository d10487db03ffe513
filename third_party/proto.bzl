"""C++ from .proto files with the machine's protoc."""

def cc_proto(name, src, visibility = None, deps = []):
    """A cc_library of the messages in src, included as its path in the workspace says (src/config/x.pb.h)."""
    stem = src[:-len(".proto")]
    native.genrule(
        name = name + "_generate",
        srcs = [src],
        outs = [stem + ".pb.h", stem + ".pb.cc"],
        cmd = "$(location @protobuf//:bin/protoc) --cpp_out=$(GENDIR) -I. $(location %s)" % src,
        tools = ["@protobuf//:bin/protoc"],
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".pb.cc"],
        hdrs = [stem + ".pb.h"],
        copts = ["-Wno-all", "-Wno-extra"],
        visibility = visibility,
        deps = deps + ["@protobuf"],
    )

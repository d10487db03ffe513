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

def cc_descriptor(name, src, hdr, array, visibility = None):
    """A cc_library with the descriptor of src and its comments, as `array` and `array`Size of namespace finetune.

    hdr declares both. The bytes are a FileDescriptorSet in protobuf's binary form.
    """
    stem = src[:-len(".proto")] + "_descriptor"
    native.genrule(
        name = name + "_generate",
        srcs = [
            src,
            hdr,
        ],
        outs = [stem + ".cc"],
        cmd = """
            $(location @protobuf//:bin/protoc) --include_source_info --descriptor_set_out=$@.bin -I. $(location {src})
            {{
              echo '#include "'$(location {hdr})'"'
              echo 'namespace finetune {{'
              echo 'const unsigned char {array}[] = {{'
              od -An -v -tx1 $@.bin | sed 's/ \\([0-9a-f][0-9a-f]\\)/0x\\1,/g'
              echo '}};'
              echo 'const size_t {array}Size = sizeof({array});'
              echo '}}  // namespace finetune'
            }} > $@
            rm $@.bin
        """.format(src = src, hdr = hdr, array = array),
        tools = ["@protobuf//:bin/protoc"],
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".cc"],
        hdrs = [hdr],
        visibility = visibility,
    )

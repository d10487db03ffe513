"""Every package finetune builds against, found on this machine; nothing is fetched by Bazel itself.

Each repository says where it looks: an environment variable first, then the places its installer uses. One that is not
there fails with one line that names the command that installs it.
"""

load("//third_party:machine.bzl", "debian_bazel_support", "machine_package")

_INSTALL = "tools/install_dependencies.sh"

def finetune_repositories():
    debian_bazel_support()
    machine_package(
        name = "libtorch",
        env = "FINETUNE_LIBTORCH",
        places = ["~/.cache/finetune/libtorch-2.15.0/torch"],
        needs = ["include/ATen/ATen.h", "lib/libtorch_cpu.so"],
        # LibTorch ships its own google/protobuf and fmt headers, which would shadow the system's.
        hidden = ["include/google", "include/fmt"],
        folders = ["include", "lib"],
        build_file = "//third_party:libtorch.BUILD",
        install = _INSTALL,
    )
    machine_package(
        # Open MPI 4 or 5, or an MPICH: FINETUNE_MPI is the folder that holds include/mpi.h and lib/libmpi.so.
        name = "mpi",
        env = "FINETUNE_MPI",
        places = ["/usr/lib/x86_64-linux-gnu/openmpi", "/usr/lib/aarch64-linux-gnu/openmpi", "/usr/local", "/opt/openmpi"],
        needs = ["include/mpi.h", "lib/libmpi.so"],
        folders = ["include", "lib"],
        build_file = "//third_party:mpi.BUILD",
        install = "apt-get install libopenmpi-dev openmpi-bin",
    )
    machine_package(
        name = "hdf5",
        env = "FINETUNE_HDF5",
        places = ["/usr"],
        needs = ["include/hdf5/serial/hdf5.h"],
        folders = ["include/hdf5/serial"],
        build_file = "//third_party:hdf5.BUILD",
        install = "apt-get install libhdf5-dev",
    )
    machine_package(
        name = "absl",
        env = "FINETUNE_ABSEIL",
        places = ["/usr", "/usr/local"],
        needs = ["include/absl/status/statusor.h"],
        folders = ["include/absl"],
        build_file = "//third_party:absl.BUILD",
        install = "apt-get install libabsl-dev",
    )
    machine_package(
        name = "protobuf",
        env = "FINETUNE_PROTOBUF",
        places = ["/usr", "/usr/local"],
        needs = ["include/google/protobuf/message.h", "bin/protoc"],
        folders = ["include/google", "bin/protoc"],
        build_file = "//third_party:protobuf.BUILD",
        install = "apt-get install libprotobuf-dev protobuf-compiler",
    )
    machine_package(
        name = "googletest",
        env = "FINETUNE_GOOGLETEST",
        places = ["/usr", "/usr/local"],
        needs = ["include/gtest/gtest.h", "include/gmock/gmock.h"],
        folders = ["include/gtest", "include/gmock"],
        build_file = "//third_party:googletest.BUILD",
        install = "apt-get install libgtest-dev libgmock-dev",
    )
    for name, header, link, package in [
        ("spdlog", "spdlog/spdlog.h", "-lspdlog -lfmt", "libspdlog-dev"),
        ("nlohmann_json", "nlohmann/json.hpp", "", "nlohmann-json3-dev"),
        ("curl", "curl/curl.h", "-lcurl", "libcurl4-openssl-dev"),
        ("openssl", "openssl/evp.h", "-lcrypto", "libssl-dev"),
        ("png", "png.h", "-lpng", "libpng-dev"),
        ("zlib", "zlib.h", "-lz", "zlib1g-dev"),
        ("archive", "archive.h", "-larchive", "libarchive-dev"),
        ("cli11", "CLI/CLI.hpp", "", "libcli11-dev"),
        ("jpeg", "jpeglib.h", "-ljpeg", "libjpeg62-turbo-dev"),
        ("webp", "webp/decode.h", "-lwebp", "libwebp-dev"),
        ("giflib", "gif_lib.h", "-lgif", "libgif-dev"),
        ("tiff", "tiffio.h", "-ltiff", "libtiff-dev"),
        ("leptonica", "leptonica/allheaders.h", "-llept", "libleptonica-dev"),
        ("turbojpeg", "turbojpeg.h", "-lturbojpeg", "libturbojpeg0-dev"),
        ("stb", "stb/stb_image_resize.h", "", "libstb-dev"),
        ("libzip", "zip.h", "-lzip", "libzip-dev"),
        ("re2", "re2/re2.h", "-lre2", "libre2-dev"),
    ]:
        # Debian keeps some headers in an architecture's folder, which the compiler searches by itself.
        machine_package(
            name = name,
            env = "FINETUNE_" + name.upper(),
            places = ["/usr", "/usr/local"],
            needs = [["include/" + header, "include/x86_64-linux-gnu/" + header, "include/aarch64-linux-gnu/" + header]],
            folders = [],
            build_file = "//third_party:system_library.BUILD",
            substitutions = {"%{linkopts}": link},
            install = "apt-get install " + package,
        )
    machine_package(
        name = "cuda",
        env = "CUDA_HOME",
        places = ["/usr/local/cuda"],
        needs = ["include/cuda_runtime.h", "include/nccl.h", "lib64/libcudart.so"],
        folders = ["include", "lib64"],
        build_file = "//third_party:cuda.BUILD",
        install = "apt-get install cuda-toolkit-13-0 libnccl-dev, or set CUDA_HOME",
        optional = True,
    )

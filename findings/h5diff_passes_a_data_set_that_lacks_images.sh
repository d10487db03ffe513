#!/usr/bin/env bash
# h5diff, HDF5's own tool for comparing files, exits with 0 when one file lacks images that the other has.
#
# Software: hdf5-tools 1.10.8 (Debian 12), h5py 3.16.0, numpy 2.4.6.
#
# Expected: the exit code is 0 if the files are equal, 1 if they differ, as that of diff and cmp. Two data sets of
# different length differ.
#
# Found: h5diff calls two datasets of different shape, of signed and unsigned integers, of integers and floats, "not
# comparable". Their values are not looked at, they add no difference, and the exit code is 0. So it is with an empty
# dataset. A line on the console says that some objects are not comparable; with --quiet, the form for scripts, nothing
# does.
#
# Output: exit codes for a file of 50 images with labels against another one:
#   0 the same; 1 one bit of one pixel differs; 0 the last 10 images are missing; 0 the file has 40 other images with
#   other labels; 0 it has no images; 0 its images are signed bytes; 0 images and labels are floats, images in [0, 1].
#
# Why it matters: after data sets are copied, repacked or prepared again, `h5diff --quiet a.h5 b.h5 && rm a.h5` is the
# natural check, and it finds a single changed pixel. It passes exactly where a conversion stopped early or chose
# another type. Compare shapes and types first, for example the lines DATATYPE and DATASPACE of `h5dump -H`.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

# The tool and its library are unpacked, not installed. Their other libraries are in every Debian 12 that has libhdf5.
(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root \
  hdf5-tools=1.10.8+repack1-1 libhdf5-103-1=1.10.8+repack1-1)
for package in "$work"/*.deb; do
  dpkg-deb --extract "$package" "$work/debian"
done
make_venv venv h5py==3.16.0 numpy==2.4.6

cd "$work"
venv/bin/python - <<'PY'
import h5py
import numpy as np

random = np.random.default_rng(0)
images = random.integers(0, 256, (50, 8, 8), np.uint8)
labels = random.integers(0, 10, 50)


def write(name, images, labels):
    with h5py.File(f"{name}.h5", "w") as file:
        file["images"] = images
        file["labels"] = labels


write("whole", images, labels)
write("equal", images, labels)
pixel = images.copy()
pixel[7, 3, 3] ^= 1
write("pixel", pixel, labels)
write("shorter", images[:40], labels[:40])
write("others", images[::-1][:40], (labels[:40] + 1) % 10)
write("empty", images[:0], labels[:0])
write("signed", images.astype(np.int8), labels)
write("floats", images.astype(np.float32) / 255, labels.astype(np.float32))
PY

export LD_LIBRARY_PATH=$work/debian/usr/lib/x86_64-linux-gnu
"$work/debian/usr/bin/h5diff" --version
failures=()

# compare EXPECTED DESCRIPTION FILES AND OPTIONS...: compares two files in silence and checks the exit code.
compare() {
  local expected=$1 description=$2 code=0 out
  shift 2
  out=$("$work/debian/usr/bin/h5diff" --quiet "$@" 2>&1) || code=$?
  printf '%-52s exit code %d%s\n' "$description" "$code" "${out:+, says: $out}"
  [ "$code" = "$expected" ] || failures+=("$description: expected exit code $expected, found $code")
}

compare 0 "the same images" whole.h5 equal.h5
compare 1 "one bit of one pixel differs" whole.h5 pixel.h5
compare 0 "the last 10 of 50 images are missing" whole.h5 shorter.h5
compare 0 "40 other images with other labels" whole.h5 others.h5
compare 0 "no images" whole.h5 empty.h5
compare 0 "images as signed bytes, half of them negative" whole.h5 signed.h5
compare 0 "images and labels as float32, images divided by 255" whole.h5 floats.h5
echo "Without --quiet: $("$work/debian/usr/bin/h5diff" whole.h5 shorter.h5 | tr '\n' ' ')"

if [ ${#failures[@]} -gt 0 ]; then
  printf 'The behaviour has changed: %s.\n' "${failures[@]}" >&2
  exit 1
fi
echo "As described: h5diff finds no difference between data sets of different length, type or content."

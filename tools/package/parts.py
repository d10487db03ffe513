#!/usr/bin/env python3
"""Writes the licences of all parts of a package and the package's SBOM (SPDX 2.3 in JSON) below TREE/share/doc/finetune.

  tools/package/parts.py --version=V --epoch=SECONDS --libraries=FILE --tree=TREE

FILE has a line "NAME PATH" for each library in the package, as tools/package/libraries.sh prints it. The licence of a library from a
Debian package is that package's copyright file. The licences of LibTorch and of the libraries beside it come from their wheels: from
LibTorch's folder or from PyPI. A library from neither a Debian package nor a wheel is an error, and so is a missing licence.
"""
import argparse
import datetime
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import uuid
import zipfile

# Debian packages whose code becomes part of the programs: Abseil's libraries, which are linked statically, and headers.
COMPILED_IN = ["libabsl-dev", "nlohmann-json3-dev", "libcli11-dev", "libstb-dev", "libspdlog-dev", "libfmt-dev"]
# Pairs of a pattern for the name of a library in LibTorch's folder and the wheel that the library comes from. A library that matches
# no pattern comes from the wheel torch.
WHEEL_OF = [
    (r"libcudart\.", "nvidia-cuda-runtime"),
    (r"libcupti\.", "nvidia-cuda-cupti"),
    (r"libcufile", "nvidia-cufile"),
    (r"libcusparseLt", "nvidia-cusparselt-cu13"),
    (r"(libnvshmem|nvshmem_)", "nvidia-nvshmem-cu13"),
]
TOOLS = pathlib.Path(__file__).resolve().parent.parent
REQUIREMENTS = [TOOLS / "libtorch-requirements.txt", TOOLS / "cuda-requirements.txt"]


class Part:
    """A package of another project: its name, version and origin, and the files of the tree that come from it."""

    def __init__(self, name, version, purl, link):
        self.name, self.version, self.purl, self.link = name, version, purl, link
        self.files = []


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def debian_package_of(path):
    """Returns the name of the Debian package that installed the file; None if no package did."""
    path = pathlib.Path(path).resolve()
    # With a merged /usr, the package may list the file in /lib, which is a link to /usr/lib.
    for name in [path, pathlib.Path("/").joinpath(*path.parts[2:])] if path.parts[1] == "usr" else [path]:
        found = subprocess.run(["dpkg-query", "--search", str(name)], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.split(":")[0]
    return None


def debian_part(package, link):
    version, architecture = output_of("dpkg-query", "--show", "--showformat=${Version} ${Architecture}\n",
                                      package).splitlines()[0].split()
    name, encoded = urllib.parse.quote(package, safe=""), urllib.parse.quote(version, safe="")
    return Part(package, version, f"pkg:deb/debian/{name}@{encoded}?arch={architecture}", link)


def pinned_versions():
    versions = {}
    for path in REQUIREMENTS:
        for name, version in re.findall(r"^([a-z0-9_-]+)==(\S+)", path.read_text(), re.MULTILINE):
            versions[name.replace("_", "-")] = version
    return versions


def wheel_of(library):
    for pattern, wheel in WHEEL_OF:
        if re.match(pattern, library):
            return wheel
    return "torch"


def find_parts(libraries):
    """Returns the parts of the package as {name: Part}."""
    versions = pinned_versions()
    parts = {package: debian_part(package, "STATIC_LINK") for package in COMPILED_IN}
    for line in libraries.read_text().splitlines():
        name, path = line.split(maxsplit=1)
        package = debian_package_of(path)
        if package is None:
            package = wheel_of(name)
            if package not in versions:
                raise SystemExit(f"parts.py: {path}: expected a library of a Debian package or of a wheel of {REQUIREMENTS[0]}")
            parts.setdefault(package, Part(package, versions[package], f"pkg:pypi/{package}@{versions[package]}", "DYNAMIC_LINK"))
        elif package not in parts:
            parts[package] = debian_part(package, "DYNAMIC_LINK")
        parts[package].files.append(f"lib/finetune/{name}")
    return parts


def wheel_licenses(wheel, version, kept):
    """Returns the texts of a wheel's licences by name. They come from the folder `kept`, or if that lacks them from the wheel on
    PyPI, which is pinned and checked by its hash."""
    stored = kept / f"{wheel}-{version}"
    if not stored.is_dir():
        line = next(line for path in REQUIREMENTS for line in path.read_text().splitlines() if line.startswith(f"{wheel}=="))
        print(f"parts.py: fetching {wheel} {version} from PyPI for its licence", file=sys.stderr)
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept) as work:
            folder = pathlib.Path(work)
            (folder / "requirements.txt").write_text(line + "\n")
            subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps", "--no-cache-dir",
                            "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--abi",
                            "none", "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64", "--platform",
                            "manylinux_2_25_x86_64", "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64",
                            "--require-hashes", "-r", str(folder / "requirements.txt"), "-d", str(folder)], check=True)
            (folder / "texts").mkdir()
            with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
                for entry in archive.namelist():
                    if re.search(r"\.dist-info/(licenses/.+|(LICEN[CS]E|NOTICE|License|COPYING)[^/]*)$", entry) and not entry.endswith("/"):
                        text = re.sub(r"[^A-Za-z0-9.]+", "_", entry.split(".dist-info/")[1])
                        (folder / "texts" / text).write_bytes(archive.read(entry))
            (folder / "texts").rename(stored)
    return {path.name: path.read_bytes() for path in sorted(stored.iterdir())}


def write_licenses(parts, folder, kept):
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts.values():
        if part.purl.startswith("pkg:deb/"):
            source = pathlib.Path("/usr/share/doc") / part.name / "copyright"
            if not source.is_file():
                raise SystemExit(f"parts.py: {source}: found no such file; expected the licence of Debian's package {part.name}")
            shutil.copyfile(source, folder / f"{part.name}.txt")
            # Debian's copyright files name common licences instead of repeating their texts, so these are copied too.
            for name in re.findall(r"/usr/share/common-licenses/([A-Za-z0-9.-]*[A-Za-z0-9])", source.read_text(errors="replace")):
                text = pathlib.Path("/usr/share/common-licenses") / name
                if text.is_file():
                    (folder / "common").mkdir(exist_ok=True)
                    shutil.copyfile(text, folder / "common" / f"{name}.txt")
            continue
        texts = wheel_licenses(part.name, part.version, kept)
        if not texts:
            raise SystemExit(f"parts.py: found no licence in the wheel of {part.name} {part.version}")
        with open(folder / f"{part.name}.txt", "wb") as out:
            for name, text in texts.items():
                out.write(f"==== {name} ====\n\n".encode() + text.rstrip() + b"\n\n")


def spdx_id(name):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def document(version, epoch, parts, tree):
    unknown = "NOASSERTION"

    def package(name, version, purl, license, comment):
        return {"SPDXID": spdx_id(f"Package-{name}"), "name": name, "versionInfo": version, "downloadLocation": unknown,
                "filesAnalyzed": False, "licenseConcluded": license, "licenseDeclared": license, "copyrightText": unknown,
                "comment": comment,
                "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]}

    own = spdx_id("Package-finetune")
    packages = [package("finetune", version, f"pkg:generic/finetune@{version}", "Apache-2.0", "LICENSE has the licence.")]
    relationships = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": own}]
    files = {"bin/finetune": own, "bin/prepare_dataset": own}
    for name, part in sorted(parts.items()):
        packages.append(package(name, part.version, part.purl, unknown, f"licenses/{name}.txt has the licence."))
        relationships.append({"spdxElementId": own, "relationshipType": part.link,
                              "relatedSpdxElement": spdx_id(f"Package-{name}")})
        files.update({path: spdx_id(f"Package-{name}") for path in part.files})
    entries, digest = [], hashlib.sha256()
    for path, owner in sorted(files.items()):
        content = (tree / path).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        digest.update(f"{path} {sha256}\n".encode())
        entries.append({"SPDXID": spdx_id(f"File-{path}"), "fileName": f"./{path}", "fileTypes": ["BINARY"],
                        "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
                                      {"algorithm": "SHA256", "checksumValue": sha256}],
                        "licenseConcluded": unknown, "licenseInfoInFiles": [unknown], "copyrightText": unknown})
        # The relationship CONTAINS would be wrong: SPDX has it only for packages of which all files have been analyzed.
        relationships.append({"spdxElementId": spdx_id(f"File-{path}"), "relationshipType": "GENERATED_FROM",
                              "relatedSpdxElement": owner})
    created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    # The name depends on the files' contents only, so the same files get the same name.
    namespace = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest())}"
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"finetune-{version}",
            "documentNamespace": namespace,
            "creationInfo": {"created": created, "creators": [f"Tool: finetune-parts.py-{version}"]},
            "packages": packages, "files": entries, "relationships": relationships}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--version", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--libraries", type=pathlib.Path, required=True)
    parser.add_argument("--tree", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    parts = find_parts(arguments.libraries)
    doc = arguments.tree / "share/doc/finetune"
    write_licenses(parts, doc / "licenses", pathlib.Path.home() / ".cache/finetune/licenses")
    sbom = document(arguments.version, arguments.epoch, parts, arguments.tree)
    (doc / "sbom.spdx.json").write_text(json.dumps(sbom, indent=1) + "\n")


if __name__ == "__main__":
    main()

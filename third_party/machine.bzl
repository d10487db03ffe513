"""Repository rules for packages that are installed on this machine."""

def _expand(ctx, place):
    return place.replace("~", ctx.os.environ.get("HOME", "/root"), 1) if place.startswith("~") else place

def _missing(ctx, root):
    for need in ctx.attr.needs:
        if not [one for one in need.split("|") if ctx.path(root + "/" + one).exists]:
            return need.split("|")[0]
    return None

def _link(ctx, source, target, hidden):
    """Links source at target; a folder with hidden children is linked child by child."""
    inner = [h[len(target) + 1:] for h in hidden if h.startswith(target + "/")]
    if not inner:
        ctx.symlink(source, target)
        return
    for child in ctx.path(source).readdir():
        if child.basename not in inner:
            ctx.symlink(child, target + "/" + child.basename)

def _machine_package_impl(ctx):
    from_env = ctx.os.environ.get(ctx.attr.env)
    places = [from_env] if from_env else [_expand(ctx, p) for p in ctx.attr.places]
    tried = []
    for root in places:
        missing = _missing(ctx, root)
        if missing:
            tried.append("%s/%s" % (root, missing))
            continue
        for folder in ctx.attr.folders:
            if ctx.path(root + "/" + folder).exists:
                _link(ctx, root + "/" + folder, folder, ctx.attr.hidden)
        ctx.template("BUILD", ctx.attr.build_file, dict(ctx.attr.substitutions, **{"%{root}": root}))
        return
    message = "%s is not on this machine (no %s). Install it with: %s%s" % (
        ctx.name,
        " and no ".join(tried),
        ctx.attr.install,
        " - or point %s at it." % ctx.attr.env,
    )
    if ctx.attr.optional:
        # Fails only when something asks for it.
        ctx.file("BUILD", 'fail("""%s""")\n' % message)
    else:
        fail(message)

_machine_package = repository_rule(
    implementation = _machine_package_impl,
    attrs = {
        "env": attr.string(mandatory = True),
        "places": attr.string_list(mandatory = True),
        "needs": attr.string_list(mandatory = True),
        "folders": attr.string_list(),
        "hidden": attr.string_list(),
        "build_file": attr.label(mandatory = True),
        "substitutions": attr.string_dict(),
        "install": attr.string(mandatory = True),
        "optional": attr.bool(),
    },
    local = True,
    environ = ["HOME"],
)

def machine_package(name, needs, **kwargs):
    """A package of this machine as a repository.

    Args:
      name: the repository.
      needs: files below the root that must be there; a list among them means any one of its members.
      **kwargs: env (variable that overrides), places (roots tried in order; ~ is HOME), folders (linked into the
        repository), hidden (paths left out of them), build_file (template), substitutions, install (command to print),
        optional (complain only when used).
    """
    flat = []
    for need in needs:
        flat.append(need if type(need) == "string" else "|".join(need))
    _machine_package(name = name, needs = flat, **kwargs)

def _rules_cc_shim_impl(ctx):
    ctx.file("BUILD", "")
    ctx.file("cc/BUILD", "")
    ctx.file("cc/defs.bzl", "\n".join([
        "%s = native.%s" % (rule, rule)
        for rule in ["cc_binary", "cc_import", "cc_library", "cc_test", "cc_toolchain", "cc_toolchain_suite", "objc_library"]
    ]) + "\n")

_rules_cc_shim = repository_rule(implementation = _rules_cc_shim_impl, local = True)

def _empty_coverage_impl(ctx):
    ctx.file("BUILD", "")
    ctx.file("tools/coverage/BUILD", "")
    ctx.file("BUILD", """
package(default_visibility = ["//visibility:public"])
filegroup(name = "coverage_report_generator")
""")

_empty_coverage = repository_rule(implementation = _empty_coverage_impl, local = True)

def debian_bazel_support():
    """Repositories that Debian's Bazel 4.2 wants from the internet, from Debian's own packages instead.

    A Bazel that carries them itself (5 to 7 with a network) is left alone: it has native.bazel_version.
    """
    version = getattr(native, "bazel_version", "")
    if version and not version.startswith("4."):
        return
    for name, path in [
        ("platforms", "/usr/share/bazel/tools/platforms"),
        ("bazel_skylib", "/usr/share/bazel/tools/skylib"),
        ("rules_java", "/usr/share/bazel/rules/java"),
        ("rules_proto", "/usr/share/bazel/rules/proto"),
    ]:
        native.local_repository(name = name, path = path)
    _rules_cc_shim(name = "rules_cc")
    _empty_coverage(name = "remote_coverage_tools")

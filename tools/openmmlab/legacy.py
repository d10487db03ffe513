"""Rewrites a config of mmcls 0.x into the form of mmpretrain 1.x, value by value, so that one translation serves both."""

from openmmlab.section import Section
from openmmlab.values import Dict, Leaf, List, plain

# The top-level names of mmcls 0.x.
NAMES = {
    "data",
    "optimizer",
    "optimizer_config",
    "lr_config",
    "runner",
    "evaluation",
    "checkpoint_config",
    "log_config",
    "dist_params",
    "workflow",
    "resume_from",
    "fp16",
    "paramwise_cfg",
    "total_epochs",
    "opencv_num_threads",
    "mp_start_method",
    "auto_resume",
    "momentum_config",
}

# The type that stands for mmcv's linear warm-up, which is the same as finetune's. mmengine's LinearLR ends an iteration earlier.
MMCV_WARMUP = "warm-up of mmcv"


def is_legacy(config):
    new = ("train_dataloader", "optim_wrapper", "train_cfg", "param_scheduler")
    return not any(name in config.items for name in new) and any(
        name in config.items for name in ("data", "optimizer", "runner")
    )


def modernise(config, report):
    """Returns the config in the form of 1.x. A name of 0.x that is not rewritten is kept, and is reported later because
    nothing reads it."""
    old = Section(config, "", report)
    items = dict(config.items)

    def new(value, **parts):
        """Returns a Dict of the given parts, with the place of an old value."""
        return Dict({key: part for key, part in parts.items() if part is not None}, value.place)

    def leaf(value, like):
        return Leaf(value, like.place)

    data = items.pop("data", None)
    if isinstance(data, Dict):
        items.update(_data(data))
    elif data is not None:
        items["data"] = data

    optimizer = items.pop("optimizer", None)
    if isinstance(optimizer, Dict):
        rules = optimizer.items.pop("paramwise_cfg", None)
        wrapper = new(optimizer, optimizer=optimizer, paramwise_cfg=rules)
        grad = items.pop("optimizer_config", None)
        if isinstance(grad, Dict):
            if "grad_clip" in grad.items:
                wrapper.items["clip_grad"] = grad.items.pop("grad_clip")
            if grad.items:
                items["optimizer_config"] = grad
        fp16 = items.pop("fp16", None)
        if isinstance(fp16, Dict):
            wrapper.items["type"] = leaf("AmpOptimWrapper", fp16)
            wrapper.items.update(fp16.items)
        items["optim_wrapper"] = wrapper
    elif optimizer is not None:
        items["optimizer"] = optimizer

    runner = items.pop("runner", None)
    if isinstance(runner, Dict):
        loop = Dict(dict(runner.items), runner.place)
        kind = loop.items.get("type")
        if isinstance(kind, Leaf) and kind.value in ("EpochBasedRunner", "IterBasedRunner"):
            loop.items["type"] = leaf(kind.value.replace("Runner", "TrainLoop"), kind)
        items["train_cfg"] = loop
    elif isinstance(items.get("total_epochs"), Leaf):
        total = items.pop("total_epochs")
        items["train_cfg"] = new(total, max_epochs=total)

    hooks = {}
    checkpoint = items.pop("checkpoint_config", None)
    if isinstance(checkpoint, Dict):
        hooks["checkpoint"] = checkpoint
    evaluation = items.pop("evaluation", None)
    if isinstance(evaluation, Dict) and "train_cfg" in items:
        _evaluation(evaluation, items, hooks, new)
    elif "val_dataloader" in items:
        # mmcls reports top-1 and top-5 by default.
        val = items["val_dataloader"]
        items["val_evaluator"] = new(
            val, type=leaf("Accuracy", val), topk=List([leaf(1, val), leaf(5, val)], val.place)
        )
    log = items.pop("log_config", None)
    if isinstance(log, Dict):
        backends = log.items.pop("hooks", None)
        if isinstance(backends, List):
            names = {"TextLoggerHook": "LocalVisBackend", "TensorboardLoggerHook": "TensorboardVisBackend"}
            for backend in backends.items:
                kind = backend.items.get("type") if isinstance(backend, Dict) else None
                if isinstance(kind, Leaf) and kind.value in names:
                    backend.items["type"] = leaf(names[kind.value], kind)
            items["visualizer"] = new(log, vis_backends=backends)
        hooks["logger"] = log
    if hooks:
        first = next(iter(hooks.values()))
        items["default_hooks"] = Dict(hooks, first.place)

    lr = items.pop("lr_config", None)
    if isinstance(lr, Dict):
        items["param_scheduler"] = List(_schedulers(lr), lr.place)
    resume = items.pop("resume_from", None)
    if resume is not None:
        items["resume"] = resume
    old.items = items
    for key, why in (
        ("dist_params", "comm.backend: AUTO takes NCCL on GPUs and MPI on CPUs"),
        ("opencv_num_threads", "it does not change the result"),
        ("mp_start_method", "it does not change the result"),
    ):
        old.note(key, why)
    old.expect("workflow", ([("train", 1)], [["train", 1]]), "finetune trains, and validates by val_interval_epochs")
    return Dict(items, config.place)


def _data(data):
    parts = dict(data.items)
    shared = {
        new: parts.pop(old)
        for old, new in (("samples_per_gpu", "batch_size"), ("workers_per_gpu", "num_workers"))
        if old in parts
    }
    drop_last = parts.pop("drop_last", None)
    persistent = parts.pop("persistent_workers", None)
    loaders = {}
    for split in ("train", "val", "test"):
        own = parts.pop(f"{split}_dataloader", None)
        dataset = parts.pop(split, None)
        if dataset is None:
            continue
        loader = {
            key: Leaf(value.value, value.place) if isinstance(value, Leaf) else value for key, value in shared.items()
        }
        if split == "train" and drop_last is not None:
            loader["drop_last"] = drop_last
        if persistent is not None:
            loader["persistent_workers"] = Leaf(plain(persistent), persistent.place)
        if isinstance(own, Dict):
            names = {"samples_per_gpu": "batch_size", "workers_per_gpu": "num_workers"}
            loader.update({names.get(key, key): value for key, value in own.items.items()})
        loader["dataset"] = dataset
        loaders[f"{split}_dataloader"] = Dict(loader, dataset.place)
    # Entries of `data` that are left are kept, so that they are reported as unread.
    if parts:
        loaders["data"] = Dict(parts, data.place)
    return loaders


def _evaluation(evaluation, items, hooks, new):
    loop = items["train_cfg"]
    rest = dict(evaluation.items)
    if "interval" in rest:
        loop.items["val_interval"] = rest.pop("interval")
    if "save_best" in rest and "checkpoint" in hooks:
        hooks["checkpoint"].items["save_best"] = rest.pop("save_best")
    metric = rest.pop("metric", Leaf("accuracy", evaluation.place))
    options = rest.get("metric_options")
    topk = None
    if isinstance(options, Dict):
        topk = options.items.pop("topk", None)
        if not options.items:
            rest.pop("metric_options")
    if topk is None:
        topk = List([Leaf(1, evaluation.place), Leaf(5, evaluation.place)], evaluation.place, is_tuple=True)
    names = plain(metric)
    kind = "Accuracy" if names in ("accuracy", ["accuracy"]) else str(names)
    items["val_evaluator"] = new(evaluation, type=Leaf(kind, metric.place), topk=topk)
    if rest:
        items["evaluation"] = Dict(rest, evaluation.place)


def _schedulers(lr):
    """mmcv's lr_config: a warm-up that multiplies a schedule over the whole run."""
    parts = dict(lr.items)
    policy = parts.pop("policy", None)
    name = plain(policy) if policy is not None else ""
    by_epoch = parts.pop("by_epoch", Leaf(True, lr.place))
    schedulers = []
    warmup = parts.pop("warmup", None)
    if warmup is not None and plain(warmup) is not None:
        per_epoch = parts.pop("warmup_by_epoch", Leaf(False, lr.place))
        schedulers.append(
            Dict(
                {
                    "type": Leaf(
                        MMCV_WARMUP if plain(warmup) == "linear" else f"warm-up {plain(warmup)}", warmup.place
                    ),
                    "start_factor": parts.pop("warmup_ratio", Leaf(0.1, warmup.place)),
                    "end": parts.pop("warmup_iters", Leaf(0, warmup.place)),
                    "by_epoch": per_epoch,
                    # mmcv counts a warm-up's epochs in iterations.
                    "convert_to_iter_based": Leaf(bool(plain(per_epoch)), warmup.place),
                },
                warmup.place,
            )
        )
    main = {"by_epoch": by_epoch}
    if name == "step":
        step = parts.pop("step", None)
        main["type"] = Leaf("MultiStepLR" if isinstance(step, List) else "StepLR", policy.place)
        if step is not None:
            main["milestones" if isinstance(step, List) else "step_size"] = step
        if "gamma" in parts:
            main["gamma"] = parts.pop("gamma")
    elif name == "CosineAnnealing":
        main["type"] = Leaf("CosineAnnealingLR", policy.place)
        for old, new in (("min_lr", "eta_min"), ("min_lr_ratio", "eta_min_ratio")):
            if old in parts:
                main[new] = parts.pop(old)
    elif name == "fixed":
        main = None
    else:
        main["type"] = Leaf(str(name), lr.place)
    if main is not None:
        main.update(parts)
        schedulers.append(Dict(main, policy.place if policy is not None else lr.place))
    return schedulers

"""Translates the settings of a run: seed, logs, checkpoints, hooks, metrics."""

from openmmlab.part import NO_COUNTERPART, Part
from openmmlab.values import plain

OTHER_METRIC = "finetune translates accuracy/top1, and accuracy/top5 where val_evaluator measures it"


class Runtime(Part):
    """Writes the message `runtime` and the field `model.head.topk`."""

    def write(self):
        output = self.output.message("runtime")
        randomness = self.top.section("randomness")
        if randomness is not None:
            seed = randomness.whole("seed", 0, 2**62)
            self.put(output, "seed", seed)
            if seed is None:
                randomness.note("seed", "mmengine draws one; finetune's is 0 unless runtime.seed is set")
            randomness.note("deterministic", "a run of finetune follows from its seed")
            randomness.expect("diff_rank_seed", (False,), "finetune's results do not depend on the rank")
        self.put(output, "work_dir", self.top.text("work_dir"))
        self.evaluators()
        hooks = self.top.section("default_hooks")
        checkpoint = None
        if hooks is not None:
            checkpoint = hooks.section("checkpoint")
            logger = hooks.section("logger")
            if logger is not None:
                logger.type()
                interval = logger.whole("interval", 1)
                output.set(
                    "log_interval",
                    interval.value if interval is not None else 10,
                    self.origin(interval or logger.value, "" if interval is not None else "mmengine's default"),
                )
                for key in ("ignore_last", "interval_exp_name", "log_metric_by_epoch"):
                    logger.note(key, "finetune's log has its own form")
            for key in ("timer", "param_scheduler", "sampler_seed", "runtime_info"):
                hooks.note(key, "finetune does this by itself")
            visual = hooks.section("visualization")
            if visual is not None:
                visual.type()
                visual.expect(
                    "enable", (False,), "finetune's images of results are in report.html", "VisualizationHook"
                )
                for key in ("interval", "show", "out_dir"):
                    visual.note(key, "it is not enabled")
        if checkpoint is not None:
            self.checkpoints(checkpoint, output)
        for hook in self.top.sections("custom_hooks"):
            if hook.type() == "EarlyStoppingHook":
                self.early_stopping(hook)
                continue
            if hook.type() == "EMAHook":
                self.average(hook)
                continue
            hook.refuse_all(f"finetune has no hook {hook.type()}", f"hook {hook.type() or '?'}")
        self.surroundings(output)

    def average(self, hook):
        """Translates EMAHook. Its first update copies the weights, as finetune's does."""
        kind = hook.type("ema_type") or "ExponentialMovingAverage"
        momentum = hook.number("momentum", 1e-30, 0.999999)
        if kind != "ExponentialMovingAverage" or "momentum" in hook and momentum is None:
            hook.refuse_all("finetune's average has one decay, which may warm up as timm's does", f"EMAHook {kind}")
            return
        output = self.output.message("optimizer").message("ema")
        share = momentum.value if momentum is not None else 0.0002
        output.set(
            "decay",
            float(f"{1 - share:.15g}"),
            self.origin(
                momentum or hook.value, f"1 - {share:g}" + ("" if momentum is not None else ", mmengine's default")
            ),
        )
        has_batch_norms = not any(self.backbone_message().has(name) for name in ("convnext", "vit", "swin", "lenet5"))
        if (
            self.output.message("model").has("backbone")
            and has_batch_norms
            and not self.backbone_message().get("norm_eval", False)
            and not hook.is_true("update_buffers")
        ):
            value = hook.items.get("update_buffers", hook.value)
            self.report.miss(
                value.place,
                hook.at("update_buffers"),
                "is False: validations use the running statistics of the latest weights there, and averaged ones here",
                "EMAHook without update_buffers",
            )
        hook.note("update_buffers", "finetune averages the running statistics that training changes")
        hook.expect("begin_iter", (0, 1), "finetune averages from the first iteration on")
        hook.expect("begin_epoch", (0,), "finetune averages from the first iteration on")
        hook.expect("interval", (1,), "finetune averages after every iteration")
        hook.expect("evaluate_on_ema", (True,), "finetune validates the averaged weights")
        hook.expect("evaluate_on_origin", (False,), "finetune validates only the averaged weights")
        for key in ("priority", "strict_load", "device"):
            hook.note(key, "it does not change the result")

    def early_stopping(self, hook):
        metric = self.metric(hook.take("monitor"))
        if metric is None:
            hook.refuse_all(OTHER_METRIC, "early stopping by another measure")
            return
        output = self.output.message("schedule").message("early_stopping")
        output.set("metric", metric, self.origin(hook.items["monitor"]))
        patience = hook.whole("patience", 1)
        output.set(
            "patience",
            patience.value if patience is not None else 5,
            self.origin(patience or hook.value, "" if patience is not None else "mmengine's default"),
        )
        delta = hook.number("min_delta", 0, 100)
        output.set(
            "min_delta",
            (delta.value if delta is not None else 0.1) / 100,
            self.origin(
                delta or hook.value, "in percent there" if delta is not None else "mmengine's default, in percent there"
            ),
        )
        hook.expect("rule", (None, "greater"), "the best accuracy is the greatest")
        hook.expect("stopping_threshold", (None,), NO_COUNTERPART)
        hook.note("strict", "every validation of finetune has the metric")
        hook.note("check_finite", "a loss that is not finite always ends a run of finetune")

    def checkpoints(self, checkpoint, runtime):
        checkpoint.type()
        output = runtime.message("checkpoint")
        interval = checkpoint.whole("interval", -1)
        by_epoch = checkpoint.flag("by_epoch")
        every = interval.value if interval is not None else -1
        place = interval or checkpoint.value
        if by_epoch is not None and not by_epoch.value:
            output.set("interval_epochs", 0, self.origin(by_epoch, "by_epoch=False"))
            if every > 0:
                output.set("interval_iterations", every, self.origin(place))
        else:
            output.set(
                "interval_epochs",
                max(every, 0),
                self.origin(place, "" if interval is not None else "the last one only"),
            )
        keep = checkpoint.whole("max_keep_ckpts", -1)
        output.set(
            "keep_last",
            max(keep.value, 0) if keep is not None else 0,
            self.origin(keep or checkpoint.value, "all" if keep is None or keep.value < 1 else ""),
        )
        best = checkpoint.take("save_best")
        metric = self.metric(best)
        if best is None or metric is not None:
            output.set(
                "save_best",
                best is not None,
                self.origin(best or checkpoint.value, "" if best is not None else "mmengine's default"),
            )
            if metric == "TOP5":
                output.set("best_metric", metric, self.origin(best))
            checkpoint.expect("rule", (None, "greater"), "finetune keeps the best accuracy")
        else:
            checkpoint.refuse("save_best", OTHER_METRIC, "save_best by another measure")
        for key in ("save_last", "save_optimizer", "save_param_scheduler"):
            checkpoint.expect(key, (True,), "finetune saves it always")

    def evaluators(self):
        for evaluator in self.top.sections("val_evaluator"):
            kind = evaluator.type()
            if kind != "Accuracy":
                evaluator.refuse_all(f"finetune measures accuracy and loss, not {kind}", f"metric {kind}")
                continue
            topk = evaluator.take("topk")
            ks = plain(topk) if topk is not None else (1,)
            ks = list(ks) if isinstance(ks, (list, tuple)) else [ks]
            if all(isinstance(k, int) and k >= 1 for k in ks) and self.output.message("model").has("head"):
                self.output.message("model").message("head").set("topk", ks, self.origin(topk or evaluator.value))
            elif topk is not None:
                evaluator.refuse("topk", "expected whole numbers")
            evaluator.expect("thrs", (0, None), "finetune counts the highest score")
            evaluator.note("collect_device", "it does not change the result")

    def surroundings(self, output):
        env = self.top.section("env_cfg")
        if env is not None:
            for key in ("cudnn_benchmark", "mp_cfg"):
                env.note(key, "it does not change the result")
            env.note("dist_cfg", "comm.backend: AUTO takes NCCL on GPUs and MPI on CPUs")
        visualizer = self.top.section("visualizer")
        if visualizer is not None:
            visualizer.type()
            visualizer.note("name", "it is only a name")
            for backend in visualizer.sections("vis_backends"):
                kind = backend.type()
                if kind == "TensorboardVisBackend":
                    output.set("tensorboard", True, self.origin(backend.value))
                elif kind != "LocalVisBackend":
                    backend.refuse_all(
                        f"finetune writes to its work_dir and TensorBoard, not to {kind}", f"visualizer {kind}"
                    )
        for key, why in (
            ("default_scope", "a name of mmengine's"),
            ("experiment_name", "finetune names a run after its config"),
            ("launcher", "mpirun or srun starts the ranks"),
            ("log_level", "finetune --help says what it prints"),
            ("log_processor", "finetune's log has its own form"),
        ):
            self.top.note(key, why)
        resume = self.top.take("resume")
        if resume is not None and plain(resume):
            self.top.note("resume", "give the flag --resume=auto")
        if "load_from" in self.top and plain(self.top.items["load_from"]) is None:
            self.top.take("load_from")
        self.top.refuse("custom_imports", "finetune runs no Python", "custom_imports")
        for key in ("tta_model", "tta_pipeline"):
            self.top.refuse(key, "finetune has no test-time augmentation", "test-time augmentation")

"""The data sets, the loaders, the pipelines and the normalisation."""

import os

from openmmlab import pbtxt
from openmmlab.part import NO_COUNTERPART, Part
from openmmlab.section import mark
from openmmlab.values import Dict, Leaf, List, plain, printable

# The command of prepare_dataset for each data set of mmpretrain that it converts.
PREPARE = {
    "CIFAR10": "cifar10 --input=cifar-10-binary.tar.gz",
    "CIFAR100": "cifar100 --input=cifar-100-binary.tar.gz",
    "MNIST": "mnist --input={root}",
    "FashionMNIST": "mnist --input={root}",
    "ImageNet": "image_folder --input={root} --size=SIDE",
    "ImageNet21k": "image_folder --input={root} --size=SIDE",
    "CustomDataset": "image_folder --input={root} --size=SIDE",
}


class Data(Part):
    """Writes the message `data`."""

    def write(self):
        self.normalize = None
        preprocessor = self.top.section("data_preprocessor")
        to_rgb = None
        if preprocessor is not None:
            kind = preprocessor.type()
            if kind not in ("", "ClsDataPreprocessor"):
                preprocessor.refuse_all(f"finetune has no data preprocessor {kind}", f"data preprocessor {kind}")
            else:
                self.normalize = self.statistics(preprocessor)
                to_rgb = preprocessor.flag("to_rgb")
                preprocessor.note("num_classes", "it is the head's")
                preprocessor.note("to_onehot", "finetune's labels are whole numbers")
                preprocessor.expect("pad_size_divisor", (1,), "finetune's images of a batch have one size")
                preprocessor.note("pad_value", "nothing is padded")
                augments = preprocessor.section("batch_augments")
                if augments is not None:
                    self.mixing(augments)
        self.to_rgb = to_rgb is not None and to_rgb.value
        self.to_rgb_value = to_rgb or (preprocessor.value if preprocessor is not None else None)
        train, val = self.top.section("train_dataloader"), self.top.section("val_dataloader")
        data = self.output.message("data")
        if train is None:
            self.report.miss(self.top.value.place, "train_dataloader", "is not set")
        else:
            self.split(train, data, "train")
        if val is not None:
            self.split(val, data, "val")
        self.test_data()

    def statistics(self, section):
        """Returns (mean, std) as Lists."""
        mean, std = section.numbers("mean"), section.numbers("std")
        if mean is None or std is None:
            if mean is not None or std is not None:
                section.refuse("mean" if mean is not None else "std", "expected mean and std")
            return None
        if len(mean.items) != len(std.items) or any(deviation <= 0 for deviation in plain(std)):
            section.refuse("std", "expected as many values above 0 as mean has")
            return None
        return mean, std

    def test_data(self):
        """Reports a test set that differs from the validation set: `finetune evaluate` uses data.val, so a separate
        test set has no counterpart."""
        for test, val in (("test_dataloader", "val_dataloader"), ("test_evaluator", "val_evaluator")):
            value, same = self.top.items.get(test), self.top.items.get(val)
            if value is None or plain(value) is None:
                self.top.take(test)
            elif same is not None and plain(value) == plain(same):
                self.top.note(test, f"it equals {val}; finetune evaluate measures data.val")
            else:
                self.top.refuse(
                    test, f"it differs from {val}; finetune evaluate measures data.val: make a second config", test
                )

    def split(self, loader, data, name):
        output = data.message(name)
        dataset = self.unwrapped(loader.section("dataset"))
        pipeline = None
        is_rgb = False
        if dataset is None:
            self.report.miss(loader.value.place, f"{loader.path}.dataset", "is not set")
        else:
            is_rgb = self.dataset(dataset, output, name)
            if "pipeline" in dataset and isinstance(dataset.items["pipeline"], List):
                pipeline = dataset.sections("pipeline")
            elif "pipeline" in dataset:
                dataset.refuse("pipeline", "expected a list")
        batch = loader.whole("batch_size", 1, 1 << 20)
        if batch is None:
            self.report.miss(loader.value.place, f"{loader.path}.batch_size", "is not set")
        elif name == "train":
            self.train_batch(batch, output)
        else:
            self.put(output, "batch_size", batch, "a rank's images, as a GPU's there")
        self.pipeline(pipeline or [], output, is_rgb)
        workers = loader.whole("num_workers", 0, 256)
        if workers is not None and workers.value == 0:
            loader.note("num_workers", "finetune prepares batches on a thread beside training")
        else:
            self.put(output, "workers", workers)
        sampler = loader.section("sampler")
        if sampler is not None:
            kind = sampler.type()
            repeats_images = kind == "RepeatAugSampler" and name == "train"
            if repeats_images:
                repeats = sampler.whole("num_repeats", 1, 256)
                output.set(
                    "repeated_augmentation",
                    repeats.value if repeats is not None else 3,
                    self.origin(repeats or sampler.value, "" if repeats is not None else "mmpretrain's default"),
                )
            if kind not in ("DefaultSampler", "InfiniteSampler") and not repeats_images:
                sampler.refuse_all(f"finetune has no sampler {kind}", f"sampler {kind}")
            else:
                shuffle = sampler.flag("shuffle")
                if (shuffle is None or shuffle.value) != (name == "train"):
                    output.set("shuffle", shuffle is None or shuffle.value, self.origin(shuffle or sampler.value))
                sampler.note("round_up", "finetune takes every image of an epoch once")
                sampler.note("seed", "the order follows from runtime.seed")
        elif "shuffle" in loader:
            self.put(output, "shuffle", loader.flag("shuffle"))
        drop_last = loader.flag("drop_last")
        if drop_last is not None and drop_last.value:
            if name == "train":
                self.put(output, "drop_last", drop_last)
            else:
                loader.refuse("drop_last", "finetune evaluates every image")
        loader.expect("collate_fn", (dict(type="default_collate"), dict(type="pseudo_collate"), None), NO_COUNTERPART)
        for key in ("persistent_workers", "pin_memory", "prefetch_factor"):
            loader.note(key, "finetune's loaders do so by themselves, or it does not change the result")

    def unwrapped(self, dataset):
        """Returns the data set within wrappers that change how often its images occur, and names the wrappers."""
        whys = {
            "ClassBalancedDataset": (
                "oversample_thr",
                "it repeats the images of classes below this share by the square root; data.train.sampling: CLASS_BALANCED draws equally "
                "many images of each class",
            ),
            "RepeatDataset": (
                "times",
                "an epoch has all images so many times there and once here: multiply what the schedule counts in epochs",
            ),
        }
        while dataset is not None and dataset.type() in whys and isinstance(dataset.items.get("dataset"), Dict):
            kind = dataset.type()
            key, why = whys[kind]
            if key != "times" or plain(dataset.items.get("times", Leaf(1, dataset.value.place))) != 1:
                dataset.refuse(key, why, f"data set {kind}")
            else:
                dataset.note(key, "once")
            dataset.note("lazy_init", "it does not change the result")
            dataset = dataset.section("dataset")
        return dataset

    def train_batch(self, batch, output):
        base = self.top.items.get("auto_scale_lr")
        base = plain(base).get("base_batch_size") if isinstance(base, Dict) else None
        remark = "a rank's images, as a GPU's there"
        if isinstance(base, int) and base % batch.value == 0:
            ranks = base // batch.value
            remark += f": {ranks} rank{'s' * (ranks > 1)} take the {base} of base_batch_size"
        wrapper = self.top.items.get("optim_wrapper")
        counts = (
            plain(wrapper.items["accumulative_counts"])
            if isinstance(wrapper, Dict) and "accumulative_counts" in wrapper.items
            else 1
        )
        if isinstance(counts, int) and 1 < counts and batch.value * counts <= 1 << 20:
            self.put(
                output, "batch_size", batch, f"{counts} times {batch.value}, accumulative_counts", batch.value * counts
            )
            self.put(output, "micro_batch_size", batch)
        else:
            self.put(output, "batch_size", batch, remark)

    def dataset(self, dataset, output, name):
        """Writes the path of the data. Returns whether mmpretrain loads its images as RGB."""
        kind = dataset.type()
        if kind not in PREPARE and ("dataset" in dataset or "datasets" in dataset):
            dataset.refuse_all(f"finetune has no {kind}, which changes another data set", f"data set {kind or '?'}")
            return False
        if kind not in PREPARE:
            dataset.refuse(
                "type",
                f"prepare_dataset has no converter for {kind}; bring it into folders a class",
                f"data set {kind}",
            )
        root, prefix = dataset.text("data_root"), dataset.items.get("data_prefix")
        prefix = plain(prefix) if prefix is not None else ""
        if isinstance(prefix, dict):
            prefix = prefix.get("img_path", "")
        if "data_prefix" in dataset:
            mark(dataset.items["data_prefix"])
        folder = (root.value if root is not None else "").rstrip("/")
        if not folder and isinstance(prefix, str):
            # The result is the folder that contains train/, val/ and test/.
            folder = prefix.rstrip("/")
            if os.path.basename(folder) in ("train", "val", "test") and os.path.dirname(folder):
                folder = os.path.dirname(folder)
        if folder:
            command = PREPARE.get(kind, PREPARE["CustomDataset"]).format(root=folder)
            output.set(
                "path",
                f"{folder}-shards",
                self.origin(root or dataset.value, printable(f"prepare_dataset {command} --output={folder}-shards")),
            )
        else:
            self.report.miss(dataset.value.place, f"{dataset.path}.data_root", "is not set")
        # Whether it is a data set with fixed file names, whose images are RGB or grey.
        is_packed = kind.startswith("CIFAR") or kind.endswith("MNIST")
        split = dataset.text("split")
        test_mode = dataset.is_true("test_mode")
        is_test = split.value != "train" if split is not None else test_mode or name == "val" and not is_packed
        output.set("split", "test" if is_test else "train", self.origin(split or dataset.value))
        dataset.expect(
            "ann_file",
            ("", None),
            "prepare_dataset takes the classes from folders and reads no lists",
            "annotation files",
        )
        dataset.expect("with_label", (True,), "finetune trains on labels")
        dataset.note("download", "prepare_dataset makes the data set")
        for key in ("lazy_init", "serialize_data"):
            dataset.note(key, "it does not change the result")
        return is_packed

    def pipeline(self, transforms, output, is_rgb):
        writers = {
            "RandomCrop": self.random_crop,
            "RandomFlip": self.random_flip,
            "Resize": self.resize,
            "CenterCrop": self.center_crop,
            "RandomResizedCrop": self.random_resized_crop,
            "ResizeEdge": self.resize_edge,
            "ColorJitter": self.color_jitter,
            "RandomErasing": self.random_erasing,
            "Lighting": self.lighting,
            "AutoAugment": self.auto_augment,
            "EfficientNetRandomCrop": self.efficientnet_random_crop,
            "EfficientNetCenterCrop": self.efficientnet_center_crop,
        }
        normalized = False
        for transform in transforms:
            kind = transform.type()
            write = writers.get(kind)
            if kind in ("PackInputs", "PackClsInputs", "ImageToTensor", "ToTensor", "Collect"):
                for key in ("keys", "meta_keys"):
                    transform.note(key, "finetune packs batches by itself")
            elif kind == "LoadImageFromFile":
                transform.expect("color_type", ("color",), "prepare_dataset stores images as RGB or grey")
                transform.expect("to_float32", (False,), "finetune's images are bytes")
                for key in ("imdecode_backend", "backend_args", "file_client_args"):
                    transform.note(key, "prepare_dataset reads the images")
                transform.expect("ignore_empty", (False,), "prepare_dataset names images that cannot be read")
                is_rgb = False
            elif kind == "Normalize":
                to_rgb = transform.flag("to_rgb")
                statistics = self.statistics(transform)
                if statistics is not None:
                    self.check_colours(
                        to_rgb or transform.value, to_rgb is None or to_rgb.value, is_rgb, transform.path, statistics
                    )
                    self.put_normalize(output, statistics)
                normalized = True
            elif write is not None and not normalized:
                self.is_bgr = not is_rgb
                write(transform, output)
                # mmcv then returns the image with its channels in the other order.
                is_rgb = is_rgb != (
                    kind == "Lighting" and plain(transform.items.get("to_rgb", transform.value)) is True
                )
            elif kind == "RandAugment" and not normalized:
                transform.refuse_all(self.how_rand_augment_differs(transform), "transform RandAugment")
            else:
                why = "finetune normalises last" if write is not None else f"finetune has no transform {kind}"
                transform.refuse_all(why, f"transform {kind or '?'}")
        if not normalized and self.normalize is not None:
            self.check_colours(self.to_rgb_value, self.to_rgb, is_rgb, "data_preprocessor", self.normalize)
            self.put_normalize(output, self.normalize)

    def check_colours(self, value, to_rgb, is_rgb, path, statistics):
        """Reports settings by which the model gets BGR images, because finetune's images are RGB or grey."""
        if to_rgb == is_rgb and len(statistics[0].items) == 3:
            self.report.miss(
                value.place,
                f"{path}.to_rgb={to_rgb}",
                "the network gets BGR there; finetune's images are RGB",
                "BGR images",
            )

    def put_normalize(self, output, statistics):
        mean, std = statistics
        step = output.add("pipeline", self.origin(mean)).message("normalize")
        step.set("mean", plain(mean))
        step.set("std", plain(std))

    def square(self, transform, keys):
        """Returns the side of a square as a Leaf, from the first of `keys` that the transform has."""
        for key in keys:
            if key not in transform:
                continue
            value = transform.take(key)
            side = plain(value) if value is not None else None
            if isinstance(side, (list, tuple)) and len(side) == 2 and side[0] == side[1]:
                side = side[0]
            if isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= 8192:
                return Leaf(side, value.place)
        return None

    def random_crop(self, transform, output):
        size = self.square(transform, ("crop_size", "size"))
        padding = self.even(transform, "padding", 0, 8192)
        value = self.even(transform, "pad_val", 0, 255)
        if size is None or padding is None or value is None:
            transform.refuse_all("finetune cuts squares, with the same padding on all sides", "RandomCrop not square")
            return
        step = output.add("pipeline", self.origin(size)).message("random_crop")
        step.set("size", size.value)
        if padding:
            step.set("padding", padding)
        if value and padding:
            step.set("pad_value", value)
        transform.expect("pad_if_needed", (False,), "finetune pads by a fixed width")
        transform.expect("padding_mode", ("constant",), "finetune pads with one value")

    @staticmethod
    def even(transform, key, low, high):
        """Returns a whole number, which may also be given as a list of equal elements; 0 if the key is missing, None
        for another value."""
        value = transform.take(key)
        if value is None:
            return 0
        numbers = plain(value)
        numbers = list(numbers) if isinstance(numbers, (list, tuple)) else [numbers]
        if numbers and all(isinstance(n, int) and n == numbers[0] and low <= n <= high for n in numbers):
            return numbers[0]
        return None

    def random_flip(self, transform, output):
        probability = transform.number("prob", 0, 1) or transform.number("flip_prob", 0, 1)
        direction = transform.text("direction")
        if probability is None or direction is not None and direction.value != "horizontal":
            transform.refuse_all("finetune flips left to right with one probability", "RandomFlip not horizontal")
            return
        output.add("pipeline", self.origin(probability)).message("random_flip").set("probability", probability.value)

    def resize(self, transform, output):
        keep_ratio = transform.is_true("keep_ratio")
        # Sizes are (width, height) in mmpretrain 1.x and (height, width) in mmcls 0.x.
        value = transform.take("scale") or transform.take("size")
        sides = plain(value) if value is not None else None
        sides = (sides, sides) if isinstance(sides, int) else sides
        good = (
            isinstance(sides, (list, tuple))
            and len(sides) == 2
            and all(isinstance(s, int) and 1 <= s <= 8192 for s in sides)
        )
        if keep_ratio or not good:
            transform.refuse_all("finetune resizes to a fixed height and width", "Resize that keeps the ratio")
            return
        if sides[0] == sides[1]:
            size = {"size": sides[0]}
        else:
            width, height = sides if "scale" in transform else sides[::-1]
            size = {"height": height, "width": width}
        if self.add_resize(transform, output, "resize", value, size) is not None:
            transform.note("clip_object_border", "there are no boxes")

    def add_resize(self, transform, output, kind, origin, size, default="bilinear"):
        """Adds a resizing step to the pipeline, with the fields `size` and those that say how the transform resamples,
        and returns it. If finetune has no such fields, refuses the transform and returns None."""
        interpolation, backend = transform.text("interpolation"), transform.text("backend")
        interpolation = interpolation.value if interpolation is not None else default
        backend = backend.value if backend is not None else "cv2"
        if interpolation not in ("bilinear", "bicubic") or backend not in ("cv2", "pillow"):
            transform.refuse_all(
                "finetune resizes bilinearly or bicubically, as OpenCV or Pillow",
                "resize other than bilinear or bicubic",
            )
            return None
        step = output.add("pipeline", self.origin(origin)).message(kind)
        for name, value in size.items():
            step.set(name, value)
        if interpolation == "bicubic":
            step.set("interpolation", pbtxt.Enum("BICUBIC"))
        if backend == "pillow":
            step.set("antialias", True)
        return step

    def random_resized_crop(self, transform, output):
        size = self.square(transform, ("scale", "size"))
        area, ratio = self.range(transform, "crop_ratio_range", 0, 1), self.range(
            transform, "aspect_ratio_range", 1e-4, 1e4
        )
        if size is None or area is None or ratio is None:
            transform.refuse_all("finetune's random_resized_crop makes squares", "RandomResizedCrop not square")
            return
        step = self.add_resize(transform, output, "random_resized_crop", size, {"size": size.value})
        if step is None:
            return
        for names, bounds in ((("min_area", "max_area"), area), (("min_ratio", "max_ratio"), ratio)):
            for name, bound in zip(names, bounds):
                step.set(name, bound)
        transform.expect("max_attempts", (10,), "finetune tries ten times")

    @staticmethod
    def range(transform, key, low, high):
        """Returns a pair of numbers; () if the key is missing, None for another value."""
        value = transform.take(key)
        if value is None:
            return ()
        pair = plain(value)
        is_number = lambda x: isinstance(x, (int, float)) and not isinstance(x, bool)
        if (
            isinstance(pair, (list, tuple))
            and len(pair) == 2
            and all(map(is_number, pair))
            and low <= pair[0] <= pair[1] <= high
        ):
            return tuple(float(x) for x in pair)
        return None

    def resize_edge(self, transform, output):
        size, edge = transform.whole("scale", 1, 8192), transform.text("edge")
        edge = edge.value if edge is not None else "short"
        if size is None or edge not in ("short", "long"):
            transform.refuse_all("finetune resizes by the short or the long edge", "ResizeEdge of width or height")
            return
        step = self.add_resize(transform, output, "resize_edge", size, {"size": size.value})
        if step is not None and edge == "long":
            step.set("edge", pbtxt.Enum("LONG"))

    def color_jitter(self, transform, output):
        strengths = {name: transform.take(name) for name in ("brightness", "contrast", "saturation", "hue")}
        strengths = {name: value for name, value in strengths.items() if value is not None and plain(value) != 0}
        bound = {"hue": 0.5}
        if not all(
            isinstance(plain(value), (int, float))
            and not isinstance(plain(value), bool)
            and 0 <= plain(value) <= bound.get(name, 1e6)
            for name, value in strengths.items()
        ):
            transform.refuse_all("finetune's color_jitter has one strength of each", "ColorJitter with ranges")
            return
        step = output.add("pipeline", self.origin(transform.value)).message("color_jitter")
        for name, value in strengths.items():
            step.set(name, plain(value))
        transform.note("backend", "finetune computes in float32")

    def random_erasing(self, transform, output):
        mode = transform.text("mode")
        color, deviation = transform.numbers("fill_color"), transform.numbers("fill_std")
        names = {
            "probability": transform.number("erase_prob", 0, 1),
            "min_area": transform.number("min_area_ratio", 0, 1),
            "max_area": transform.number("max_area_ratio", 0, 1),
        }
        ratio = transform.take("aspect_range")
        ratio = plain(ratio) if ratio is not None else (0.3, 10 / 3)
        ratio = (ratio, 1 / ratio) if isinstance(ratio, (int, float)) and ratio > 0 else ratio
        is_noise = mode is not None and mode.value == "rand"
        if (
            not (isinstance(ratio, (list, tuple)) and len(ratio) == 2)
            or is_noise
            and deviation is None
            or mode is not None
            and mode.value not in ("const", "rand")
        ):
            transform.refuse_all("finetune paints with one colour or normal noise", "RandomErasing of even noise")
            return
        step = output.add("pipeline", self.origin(transform.value)).message("random_erasing")
        # mmpretrain's defaults.
        defaults = {"probability": 0.5, "min_area": 0.02, "max_area": 0.4}
        for name, value in names.items():
            step.set(name, value.value if value is not None else defaults[name])
        step.set("min_ratio", float(min(ratio)))
        step.set("max_ratio", float(max(ratio)))
        # mmpretrain's numbers may be for BGR images. finetune's are for RGB.
        order = lambda numbers: plain(numbers)[::-1] if self.is_bgr else plain(numbers)
        if color is not None:
            step.set("value", [float(x) for x in order(color)])
        if is_noise:
            step.set("std", [float(x) for x in order(deviation)])

    def center_crop(self, transform, output):
        size = self.square(transform, ("crop_size",))
        if size is None:
            transform.refuse_all("finetune cuts squares", "CenterCrop not square")
            return
        transform.expect("auto_pad", (False,), "finetune pads evenly, and not to the right and below")
        transform.expect("efficientnet_style", (False,), "finetune has no such crop")
        step = output.add("pipeline", self.origin(size)).message("center_crop")
        step.set("size", size.value)
        step.set("middle", pbtxt.Enum("EVEN"))

    def lighting(self, transform, output):
        values, std = transform.numbers("eigval"), transform.number("alphastd", 0, 1e30)
        vectors = transform.take("eigvec")
        rows = plain(vectors) if vectors is not None else None
        is_number = lambda x: isinstance(x, (int, float)) and not isinstance(x, bool)
        good = isinstance(rows, (list, tuple)) and len(rows) == 3
        good = good and all(
            isinstance(row, (list, tuple)) and len(row) == 3 and all(map(is_number, row)) for row in rows
        )
        if values is None or len(values.items) != 3 or not good:
            transform.refuse_all("finetune's lighting takes three eigenvalues and vectors", "Lighting of other colours")
            return
        # A row for each channel, in the order that the image has then.
        in_rgb = self.is_bgr == transform.is_true("to_rgb")
        step = output.add("pipeline", self.origin(transform.value)).message("lighting")
        step.set("alpha_std", float(std.value) if std is not None else 0.1)
        step.set("eigenvalue", [float(value) for value in plain(values)])
        step.set("eigenvector", [float(x) for row in (rows if in_rgb else rows[::-1]) for x in row])
        self.report.miss(
            transform.value.place,
            transform.path,
            "values that leave 0 to 255 wrap around there, so that white may turn black; finetune limits them",
            "Lighting that wraps around",
        )

    def auto_augment(self, transform, output):
        policies = transform.take("policies")
        if policies is None or plain(policies) != "imagenet":
            transform.refuse_all(
                "finetune's auto_augment has the policies of torchvision", "AutoAugment of its own policies"
            )
            return
        step = output.add("pipeline", self.origin(transform.value)).message("auto_augment")
        step.set("fill", 128)
        transform.note(
            "hparams", "mmpretrain 1.2.0 does not pass it on: it fills with 128 and rotates by the nearest pixel"
        )
        self.report.miss(
            transform.value.place,
            transform.path,
            "the one pair that shears interpolates bicubically there and takes the nearest pixel here, and Solarize's thresholds are up "
            "to 0.7 of 255 lower here",
            "AutoAugment with a bicubic shear",
        )

    @staticmethod
    def how_rand_augment_differs(transform):
        policies = plain(transform.items["policies"]) if "policies" in transform else None
        ours = "finetune's rand_augment applies torchvision's 14 operations, each always and all with one strength"
        if policies == "timm_increasing":
            return f"{ours}; timm's has 15, with Invert and SolarizeAdd, half of the time each, and draws a strength for each"
        return (
            f"{ours}; mmpretrain's applies those of `policies`, half of the time each, unless they have their own prob"
        )

    def efficientnet_random_crop(self, transform, output):
        size = transform.whole("scale", 1, 8192)
        area, ratio = self.range(transform, "crop_ratio_range", 0, 1), self.range(
            transform, "aspect_ratio_range", 1e-4, 1e4
        )
        covered = transform.number("min_covered", 0, 1)
        transform.note("crop_padding", "it counts only where ten tries found no rectangle")
        if size is None or area is None or ratio is None:
            transform.refuse_all("expected whole numbers and ranges", "EfficientNetRandomCrop")
            return
        step = self.add_resize(transform, output, "random_resized_crop", size, {"size": size.value}, "bicubic")
        if step is None:
            return
        area = area or (0.08, 1.0)
        step.set("min_area", max(area[0], covered.value if covered is not None else 0.1))
        step.set("max_area", area[1])
        for name, bound in zip(("min_ratio", "max_ratio"), ratio):
            step.set(name, bound)
        transform.note("max_attempts", "if none of them fits, both take a centred part")
        self.report.miss(
            transform.value.place,
            transform.path,
            "written as random_resized_crop: the rectangle's height and its ratio are uniform there; its area and the logarithm of its "
            "ratio here",
            "EfficientNetRandomCrop",
        )

    def efficientnet_center_crop(self, transform, output):
        size, padding = transform.whole("crop_size", 1, 8192), transform.whole("crop_padding", 0, 8192)
        if size is None or padding is None and "crop_padding" in transform:
            transform.refuse_all("expected whole numbers", "EfficientNetCenterCrop")
            return
        edge = size.value + (padding.value if padding is not None else 32)
        if self.add_resize(transform, output, "resize_edge", size, {"size": edge}, "bicubic") is None:
            return
        step = output.add("pipeline", self.origin(size)).message("center_crop")
        step.set("size", size.value)
        step.set("middle", pbtxt.Enum("EVEN"))
        self.report.miss(
            transform.value.place,
            transform.path,
            "written as resize_edge and center_crop, the same part of the image: it is cut out before it is resized there, so that pixels "
            "at its edge differ, and is shifted by less than a pixel",
            "EfficientNetCenterCrop",
        )

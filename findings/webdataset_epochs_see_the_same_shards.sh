#!/usr/bin/env bash
# WebDataset(shardshuffle=...) reads the shards in the same order in every epoch, so that with_epoch(n) never reads the
# last ones.
#
# Software: webdataset 1.0.2, numpy 2.4.6.
#
# Expected: shardshuffle without a seed gives another order of the shards in each epoch, as the sample shuffle of the
# same library does. Epochs that with_epoch cuts to n samples then see, over time, the whole dataset.
#
# Found: WebDataset draws a seed once, when it is constructed, and makes a new generator from this seed in each epoch.
# So every epoch reads the shards in one and the same order. with_epoch(n) starts each epoch at the first shard of
# that order and stops after n samples: all later shards are never read, however long the training is.
# (Without seed, .shuffle does draw anew in each epoch, which hides the fault: batches differ from epoch to epoch.)
#
# Output: 10 shards of 100 samples, epochs of 200 samples: after 10 epochs about 245 of the 1,000 samples are seen,
# after 100 epochs 248. A fresh order in each epoch would leave about one sample in ten unseen after 10 epochs, none
# after 100. With detshuffle=True, which counts epochs, 100 epochs see all 1,000.
#
# Why it matters: with_epoch is a usual way to give all ranks equally many iterations, with n less than what a rank's
# shards hold. The training then runs on a fixed fraction of the data and fits it well; the log shows the right number
# of samples, a falling loss and no warning, and only validation is worse than it should be. If shards differ (by
# class, by source, by day), whole classes are missing. Use resampled=True, or detshuffle=True in a process that lives
# on from epoch to epoch (the count of epochs is in the process), or shuffle the list of shards yourself.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv webdataset==1.0.2 numpy==2.4.6

"$work/venv/bin/python" - "$work" <<'PY'
import importlib.metadata
import sys

import webdataset

SHARDS, SAMPLES, EPOCH = 10, 100, 200
print(f"webdataset {importlib.metadata.version('webdataset')}")
urls = [f"{sys.argv[1]}/{shard}.tar" for shard in range(SHARDS)]
for shard, url in enumerate(urls):
    with webdataset.TarWriter(url) as writer:
        for sample in range(SAMPLES):
            number = shard * SAMPLES + sample
            writer.write({"__key__": f"{number:04d}", "cls": number})


def dataset(**options):
    return webdataset.WebDataset(urls, shardshuffle=SHARDS, **options).shuffle(50).decode().to_tuple("cls")


def shard_order(samples):
    return list(dict.fromkeys(number // SAMPLES for number, in samples))


def seen_after(epochs, samples):
    return len({number for _ in range(epochs) for number, in samples})


whole = dataset()
first, second = list(whole), list(whole)
print(f"Order of the samples in two epochs is the same: {first == second}")
in_shards = webdataset.WebDataset(urls, shardshuffle=SHARDS).decode().to_tuple("cls")  # Without the sample shuffle.
orders = [shard_order(in_shards) for _ in range(3)]
print("Order of the shards in three epochs:", *orders)
cut = dataset().with_epoch(EPOCH)
after_10, after_100 = seen_after(10, cut), seen_after(100, cut)
print(f"Epochs of {EPOCH} samples: {after_10} of {SHARDS * SAMPLES} seen after 10 epochs, {after_100} after 100")
counted = seen_after(100, dataset(detshuffle=True).with_epoch(EPOCH))
print(f"With detshuffle=True: {counted} after 100 epochs")

if counted != SHARDS * SAMPLES:
    sys.exit(f"The comparison is not valid: detshuffle=True saw {counted} samples, expected {SHARDS * SAMPLES}.")
if orders[0] != orders[1] or orders[1] != orders[2] or after_100 > 2 * EPOCH:
    sys.exit(f"The behaviour has changed: 100 epochs of {EPOCH} samples saw {after_100} samples, in orders {orders}.")
print("As described: each epoch reads the same shards first, and the others are never read.")
PY

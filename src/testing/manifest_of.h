#ifndef FINETUNE_TESTING_MANIFEST_OF_H_
#define FINETUNE_TESTING_MANIFEST_OF_H_

#include "src/data/dataset.pb.h"

namespace finetune {

// Returns a manifest with the facts that pipelines need: the size and channels of the images, and
// for each channel a different mean and std. It has no shards.
inline DatasetManifest ManifestOf(int channels, int height, int width) {
  DatasetManifest manifest;
  manifest.set_channels(channels);
  manifest.set_height(height);
  manifest.set_width(width);
  for (int c = 0; c < channels; ++c) {
    manifest.add_mean(100 + 10 * c);
    manifest.add_std(50 + c);
  }
  return manifest;
}

}  // namespace finetune

#endif  // FINETUNE_TESTING_MANIFEST_OF_H_

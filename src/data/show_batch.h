#ifndef FINETUNE_DATA_SHOW_BATCH_H_
#define FINETUNE_DATA_SHOW_BATCH_H_

#include <ATen/core/Tensor.h>

#include <cstddef>

#include "src/data/batch.h"
#include "src/data/loader.h"
#include "src/observe/contact_sheet.h"

namespace finetune {

// Returns a contact sheet without images and title, of the size that the loader's prepared images
// have. If their longer side is above `most_side`, the sheet's longer side is `most_side`, and
// AddToSheet() will scale images down to it. 0: images are never scaled.
ContactSheet SheetFor(const BatchLoader& loader, int most_side);

// Adds the first images of a batch to `sheet`, until the sheet has `most` images. The normalization
// is undone and pixels are rounded to bytes. The caption of an image is its index in the data set
// and its class, or for a mixed image its two classes and their shares. `loader`: the batch's.
// `images`: the batch's prepared images, [n, C, H, W], on any device.
void AddToSheet(const BatchLoader& loader, const Batch& batch, const at::Tensor& images,
                size_t most, ContactSheet* sheet);

}  // namespace finetune

#endif  // FINETUNE_DATA_SHOW_BATCH_H_

#include "src/predict/image_pipeline.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/data/dataset.pb.h"

namespace finetune {
namespace {

absl::StatusOr<Pipeline> MakePipeline(const SplitConfig& split, const ImageShape& shape,
                                      const PixelStatistics* statistics) {
  DatasetManifest manifest;
  manifest.set_channels(shape.channels);
  manifest.set_height(shape.height);
  manifest.set_width(shape.width);
  return Pipeline::Create(split, manifest, statistics);
}

// Returns the pipeline of `val` after steps that bring an image to the stored size.
SplitConfig Fitted(const SplitConfig& val, const ImageShape& stored) {
  SplitConfig fitted;
  if (stored.height == stored.width) {
    ResizeEdgeConfig* resize = fitted.add_pipeline()->mutable_resize_edge();
    resize->set_size(stored.height);
    resize->set_antialias(true);
    fitted.add_pipeline()->mutable_center_crop()->set_size(stored.height);
  } else {
    ResizeConfig* resize = fitted.add_pipeline()->mutable_resize();
    resize->set_height(stored.height);
    resize->set_width(stored.width);
    resize->set_antialias(true);
  }
  fitted.mutable_pipeline()->MergeFrom(val.pipeline());
  return fitted;
}

// Replaces RGB pixels by one grey value each, exactly as Pillow's convert("L") does. A grey pixel
// keeps its value.
void MakeGrey(std::vector<uint8_t>* pixels) {
  constexpr uint32_t kRed = 19595, kGreen = 38470, kBlue = 7471, kHalf = 0x8000;
  const size_t n = pixels->size() / 3;
  for (size_t i = 0; i < n; ++i) {
    const uint8_t* rgb = &(*pixels)[3 * i];
    (*pixels)[i] =
        static_cast<uint8_t>((kRed * rgb[0] + kGreen * rgb[1] + kBlue * rgb[2] + kHalf) >> 16);
  }
  pixels->resize(n);
}

}  // namespace

absl::StatusOr<ImagePipeline> ImagePipeline::Create(const SplitConfig& val,
                                                    const StoredImages& stored,
                                                    const PixelStatistics* statistics) {
  const int channels = stored.shape.channels;
  if (channels != 1 && channels != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model takes images of ", channels, " channels; images have 1 or 3"));
  }
  const bool has_size = stored.shape.has_size();
  if (stored.encoded || !has_size) {
    absl::StatusOr<Pipeline> any_size = MakePipeline(val, {channels, 0, 0}, statistics);
    if (any_size.ok()) return ImagePipeline(stored, *std::move(any_size), std::nullopt);
    // The encoded images all have one size, and the pipeline needs images of this size.
    if (!has_size) return Annotate(any_size.status(), "data.val");
  }
  absl::StatusOr<Pipeline> stored_size = MakePipeline(val, stored.shape, statistics);
  FT_RETURN_IF_ERROR(Annotate(stored_size.status(), "data.val"));
  absl::StatusOr<Pipeline> any_size =
      MakePipeline(Fitted(val, stored.shape), {channels, 0, 0}, statistics);
  FT_RETURN_IF_ERROR(Annotate(any_size.status(), "data.val, behind the steps to the stored size"));
  return ImagePipeline(stored, *std::move(any_size), *std::move(stored_size));
}

template <typename T>
absl::Status ImagePipeline::Prepare(uint64_t seed, int64_t index, absl::string_view bytes,
                                    Desk* desk, T* out) const {
  FT_ASSIGN_OR_RETURN(const ImageSize size, desk->decoder.ReadSize(bytes));
  const ImageShape shape = {stored_.shape.channels, size.height, size.width};
  const Pipeline& pipeline =
      stored_size_.has_value() && shape == stored_.shape ? *stored_size_ : any_size_;
  desk->draws.resize(static_cast<size_t>(pipeline.draws()));
  pipeline.Draw(seed, /*epoch=*/0, index, shape, desk->draws.data());
  // JPEGs are decoded at the same scale as for validation, so that the results are the same. At
  // full scale the whole image is decoded and not only the needed part: the file has no checksum,
  // so damage outside the part would not be noticed.
  std::optional<NeededPart> need;
  if (stored_.encoded && !stored_.exact_decoding) need = pipeline.NeedOf(shape, desk->draws.data());
  if (need.has_value() && need->resized == ImageSize{}) need.reset();
  DecodedImage& image = desk->image;
  FT_RETURN_IF_ERROR(desk->decoder.DecodePart(bytes, size, need, &image));
  if (shape.channels == 1) MakeGrey(&image.pixels);
  if (image.place.has_value()) {
    pipeline.ApplyToPart(image.pixels, {shape.channels, image.height, image.width}, *image.place,
                         desk->draws.data(), &desk->scratch, out);
  } else {
    pipeline.Apply(image.pixels, shape, desk->draws.data(), &desk->scratch, out);
  }
  return absl::OkStatus();
}

template absl::Status ImagePipeline::Prepare<float>(uint64_t, int64_t, absl::string_view, Desk*,
                                                    float*) const;
template absl::Status ImagePipeline::Prepare<Bfloat16>(uint64_t, int64_t, absl::string_view, Desk*,
                                                       Bfloat16*) const;

}  // namespace finetune

#ifndef FINETUNE_METRICS_PREDICTION_H_
#define FINETUNE_METRICS_PREDICTION_H_

#include <cstdint>

namespace finetune {

// A model's answer for one image. All metrics are functions of a list of these.
struct Prediction {
  int32_t label = 0;  // the image's class
  int32_t guess = 0;  // the class with the largest score; the lowest such class if scores are equal
  // The number of classes that come before the label when the classes are sorted by descending
  // score. 0: the guess is right.
  int32_t rank = 0;
  float confidence = 0;  // the softmax probability of the guess, 0..1
  float loss = 0;        // cross-entropy

  bool correct() const { return guess == label; }
};

}  // namespace finetune

#endif  // FINETUNE_METRICS_PREDICTION_H_

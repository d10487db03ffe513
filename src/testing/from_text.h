#ifndef FINETUNE_TESTING_FROM_TEXT_H_
#define FINETUNE_TESTING_FROM_TEXT_H_

#include <google/protobuf/text_format.h>

#include <string>

#include "gtest/gtest.h"

namespace finetune {

// Parses `text` in protobuf's text format: FromText<ScheduleConfig>("max_epochs: 3"). Fails the
// test where that is not possible.
template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

}  // namespace finetune

#endif  // FINETUNE_TESTING_FROM_TEXT_H_

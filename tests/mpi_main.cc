#include "tests/mpi_main.h"

#include <iostream>
#include <optional>

#include "gtest/gtest.h"

namespace finetune {
namespace {

std::optional<MpiSession>& Session() {
  static std::optional<MpiSession> session;
  return session;
}

}  // namespace

const MpiSession& TestSession() { return *Session(); }

}  // namespace finetune

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  absl::StatusOr<finetune::MpiSession> session = finetune::MpiSession::Start(&argc, &argv);
  if (!session.ok()) {
    std::cerr << session.status() << "\n";
    return 1;
  }
  finetune::Session().emplace(*std::move(session));
  const int result = RUN_ALL_TESTS();
  finetune::Session().reset();
  return result;
}

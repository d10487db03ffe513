#include "src/tensor/large_tensor_memory.h"

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>

namespace finetune {
namespace {

// Blocks are aligned to a cache line, in bytes. They are deliberately not aligned to a page:
// feature maps that all began at the same offset of a page would compete for the same sets of the
// first-level cache.
constexpr size_t kAlignment = 64;
// The address range becomes writable in steps of this many bytes, the size of a huge page.
constexpr size_t kStep = size_t{2} << 20;

size_t RoundUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

struct alignas(kAlignment) LargeTensorMemory::Header {
  LargeTensorMemory* memory;
  // The size of the block in bytes with its header; 0 for memory from the allocator `others`.
  size_t bytes;
};

LargeTensorMemory::LargeTensorMemory(size_t reserved_bytes, c10::Allocator* others)
    : others_(*others) {
  void* range =
      mmap(nullptr, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return;
  // The result is ignored: the memory also works without huge pages, but more slowly.
  madvise(range, reserved_bytes, MADV_HUGEPAGE);
  range_ = static_cast<char*>(range);
  reserved_ = reserved_bytes;
  free_[range_] = reserved_;
  free_by_size_.emplace(reserved_, range_);
}

LargeTensorMemory::~LargeTensorMemory() {
  if (range_ != nullptr) munmap(range_, reserved_);
}

c10::DataPtr LargeTensorMemory::allocate(size_t bytes) {
  const at::Device cpu(at::kCPU);
  if (bytes == 0) return {nullptr, nullptr, &Release, cpu};
  size_t block = bytes < kLarge ? 0 : RoundUp(bytes) + sizeof(Header);
  void* begin = block == 0 ? nullptr : Take(block);
  if (begin == nullptr) {
    block = 0;
    begin = others_.raw_allocate(bytes + sizeof(Header));
  }
  void* data = new (begin) Header{this, block} + 1;
  return {data, data, &Release, cpu};
}

// Makes the first `bytes` of the range writable. Writable bytes count against the memory limits of
// the process. Returns false where those limits do not allow it.
bool LargeTensorMemory::Open(size_t bytes) {
  if (bytes <= open_) return true;
  const size_t opened = std::min((bytes + kStep - 1) / kStep * kStep, reserved_);
  if (mprotect(range_ + open_, opened - open_, PROT_READ | PROT_WRITE) != 0) return false;
  open_ = opened;
  return true;
}

// Cuts a block of `bytes` from the smallest free block that is large enough and returns its
// beginning. Returns null where no free block is large enough or the writable part of the range
// cannot grow.
char* LargeTensorMemory::Take(size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto fit = free_by_size_.lower_bound({bytes, nullptr});
  if (fit == free_by_size_.end()) return nullptr;
  const auto [size, begin] = *fit;
  if (!Open(static_cast<size_t>(begin + bytes - range_))) return nullptr;
  free_by_size_.erase(fit);
  free_.erase(begin);
  if (size > bytes) {
    free_[begin + bytes] = size - bytes;
    free_by_size_.emplace(size - bytes, begin + bytes);
  }
  high_water_ = std::max(high_water_, static_cast<size_t>(begin + bytes - range_));
  return begin;
}

void LargeTensorMemory::copy_data(void* to, const void* from, size_t bytes) const {
  std::memcpy(to, from, bytes);
}

size_t LargeTensorMemory::high_water() const {
  const std::lock_guard lock(mutex_);
  return high_water_;
}

void LargeTensorMemory::Release(void* data) {
  if (data == nullptr) return;
  Header* header = static_cast<Header*>(data) - 1;
  LargeTensorMemory& memory = *header->memory;
  if (header->bytes == 0) {
    memory.others_.raw_deallocate(header);
  } else {
    memory.GiveBack(reinterpret_cast<char*>(header), header->bytes);
  }
}

void LargeTensorMemory::GiveBack(char* begin, size_t bytes) {
  const std::lock_guard lock(mutex_);
  auto next = free_.lower_bound(begin);
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == begin) {
      begin = before->first;
      bytes += before->second;
      free_by_size_.erase({before->second, before->first});
      free_.erase(before);
    }
  }
  if (next != free_.end() && begin + bytes == next->first) {
    bytes += next->second;
    free_by_size_.erase({next->second, next->first});
    free_.erase(next);
  }
  free_[begin] = bytes;
  free_by_size_.emplace(bytes, begin);
}

void UseLargeTensorMemory() {
  // Reserved addresses cost no memory. Twice the machine's memory leaves room for gaps between
  // blocks.
  const size_t memory = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  // The allocator is never freed, because tensors may live until the process ends.
  c10::SetCPUAllocator(new LargeTensorMemory(2 * memory, c10::GetCPUAllocator()), /*priority=*/1);
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks)

}  // namespace finetune

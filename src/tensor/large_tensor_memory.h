#ifndef FINETUNE_TENSOR_LARGE_TENSOR_MEMORY_H_
#define FINETUNE_TENSOR_LARGE_TENSOR_MEMORY_H_

#include <c10/core/Allocator.h>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace finetune {

// An allocator for LibTorch's large CPU tensors (feature maps, gradients). It keeps the memory of a
// freed tensor, in huge pages, for later tensors. malloc would return such memory to the system
// each time, and the page faults of the next allocation can cost more than the arithmetic.
//
// Blocks are cut from one reserved range of addresses. Each allocation takes the smallest free
// block that fits, and adjacent free blocks are merged. Small tensors, and large ones for which no
// block is free, get memory from the allocator `others`. Thread-safe.
class LargeTensorMemory final : public c10::Allocator {
 public:
  // A tensor of at least this many bytes is large.
  static constexpr size_t kLarge = size_t{1} << 20;

  // Reserves `reserved_bytes` of addresses. Where the system refuses that, all memory comes from
  // `others`. `others` must outlive this object and support raw_deallocate().
  LargeTensorMemory(size_t reserved_bytes, c10::Allocator* others);
  // All tensors that were allocated here must have been freed.
  ~LargeTensorMemory() override;
  LargeTensorMemory(const LargeTensorMemory&) = delete;
  LargeTensorMemory& operator=(const LargeTensorMemory&) = delete;

  c10::DataPtr allocate(size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override { return &Release; }
  void copy_data(void* to, const void* from, size_t bytes) const override;

  // Returns the number of bytes from the beginning of the range to the end of the furthest block
  // that was ever in use.
  size_t high_water() const;

 private:
  // Lies in memory directly before each tensor's data, because LibTorch's deleter gets only the
  // address of the data.
  struct Header;
  static void Release(void* data);
  char* Take(size_t bytes);
  bool Open(size_t bytes);
  void GiveBack(char* begin, size_t bytes);

  c10::Allocator& others_;
  char* range_ = nullptr;
  size_t reserved_ = 0;
  mutable std::mutex mutex_;
  size_t high_water_ = 0;
  size_t open_ = 0;
  // The free blocks: free_ maps the address to the size, free_by_size_ is sorted by size and then
  // address.
  std::map<char*, size_t> free_;
  std::set<std::pair<size_t, char*>> free_by_size_;
};

// Makes LibTorch allocate CPU memory from a LargeTensorMemory until the process ends. Call it
// before the first tensor is created.
void UseLargeTensorMemory();

}  // namespace finetune

#endif  // FINETUNE_TENSOR_LARGE_TENSOR_MEMORY_H_

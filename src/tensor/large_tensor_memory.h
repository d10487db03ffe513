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

// LibTorch's memory for large CPU tensors (feature maps, gradients). A freed block, in huge pages,
// is used again for the next tensor. malloc would return such memory to the system each time, and
// the page faults of the next allocation can cost more than the arithmetic.
//
// Blocks are cut from one reserved range of addresses. The smallest free block that fits is taken,
// and free neighbours are merged. The range in use grows to the most that was needed at once. Small
// tensors, and large ones that find no block, get memory from `others`. Thread-safe.
class LargeTensorMemory final : public c10::Allocator {
 public:
  // A tensor of at least this many bytes is large.
  static constexpr size_t kLarge = size_t{1} << 20;

  // `others` must outlive this object and have raw_deallocate(). Where the system does not reserve
  // the addresses, all memory comes from `others`.
  LargeTensorMemory(size_t reserved_bytes, c10::Allocator* others);
  // All tensors must be gone.
  ~LargeTensorMemory() override;
  LargeTensorMemory(const LargeTensorMemory&) = delete;
  LargeTensorMemory& operator=(const LargeTensorMemory&) = delete;

  c10::DataPtr allocate(size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override { return &Release; }
  void copy_data(void* to, const void* from, size_t bytes) const override;

  // Returns the bytes from the beginning of the range that were ever part of a block.
  size_t high_water() const;

 private:
  // Stands before each tensor's data, because LibTorch's deleter gets only the address of the data.
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
  // Free blocks by address, and by size and address.
  std::map<char*, size_t> free_;
  std::set<std::pair<size_t, char*>> free_by_size_;
};

// Has LibTorch allocate CPU memory from such an object, for as long as the process runs. Call it
// before the first tensor.
void UseLargeTensorMemory();

}  // namespace finetune

#endif  // FINETUNE_TENSOR_LARGE_TENSOR_MEMORY_H_

// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/content.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace waybill::testing::fault {

namespace {

class Held : public Content {
 public:
  explicit Held(std::string bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const noexcept override { return bytes_.size(); }
  void read(uint64_t offset, char* out, size_t count) const override {
    std::memcpy(out, bytes_.data() + offset, count);
  }

 private:
  std::string bytes_;
};

class Generated : public Content {
 public:
  Generated(uint64_t seed, uint64_t size) : seed_(mix(seed)), size_(size) {}
  uint64_t size() const noexcept override { return size_; }
  void read(uint64_t offset, char* out, size_t count) const override {
    while (count > 0) {
      const uint64_t word = mix(seed_ + offset / 8);
      const size_t skip = offset % 8;
      const size_t taken = std::min(count, 8 - skip);
      std::memcpy(out, reinterpret_cast<const char*>(&word) + skip, taken);
      out += taken;
      offset += taken;
      count -= taken;
    }
  }

 private:
  uint64_t seed_;
  uint64_t size_;
};

class Joined : public Content {
 public:
  explicit Joined(std::vector<ContentPtr> parts) : parts_(std::move(parts)) {
    for (const ContentPtr& part : parts_) ends_.push_back(size_ += part->size());
  }
  uint64_t size() const noexcept override { return size_; }
  void read(uint64_t offset, char* out, size_t count) const override {
    auto at = static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), offset) - ends_.begin());
    for (; count > 0; ++at) {
      const uint64_t begin = ends_[at] - parts_[at]->size();
      const auto taken = static_cast<size_t>(std::min<uint64_t>(count, ends_[at] - offset));
      parts_[at]->read(offset - begin, out, taken);
      out += taken;
      offset += taken;
      count -= taken;
    }
  }
  bool is_held() const noexcept override {
    return std::all_of(parts_.begin(), parts_.end(), [](const ContentPtr& part) { return part->is_held(); });
  }

 private:
  std::vector<ContentPtr> parts_;
  std::vector<uint64_t> ends_;
  uint64_t size_ = 0;
};

class Part : public Content {
 public:
  Part(ContentPtr whole, uint64_t begin, uint64_t end) : whole_(std::move(whole)), begin_(begin), size_(end - begin) {}
  uint64_t size() const noexcept override { return size_; }
  void read(uint64_t offset, char* out, size_t count) const override { whole_->read(begin_ + offset, out, count); }
  bool is_held() const noexcept override { return whole_->is_held(); }

 private:
  ContentPtr whole_;
  uint64_t begin_;
  uint64_t size_;
};

class Sunk : public Content {
 public:
  explicit Sunk(uint64_t size) : size_(size) {}
  uint64_t size() const noexcept override { return size_; }
  void read(uint64_t, char* out, size_t count) const override { std::memset(out, 0, count); }
  bool is_held() const noexcept override { return false; }

 private:
  uint64_t size_;
};

class Inverted : public Content {
 public:
  Inverted(ContentPtr whole, uint64_t begin, uint64_t end) : whole_(std::move(whole)), begin_(begin), end_(end) {}
  uint64_t size() const noexcept override { return whole_->size(); }
  void read(uint64_t offset, char* out, size_t count) const override {
    whole_->read(offset, out, count);
    const uint64_t first = std::max(begin_, offset);
    const uint64_t last = std::min(end_, offset + count);
    for (uint64_t at = first; at < last; ++at) out[at - offset] = static_cast<char>(~out[at - offset]);
  }

 private:
  ContentPtr whole_;
  uint64_t begin_;
  uint64_t end_;
};

}  // namespace

ContentPtr held_content(std::string bytes) { return std::make_shared<Held>(std::move(bytes)); }
ContentPtr generated_content(uint64_t seed, uint64_t size) { return std::make_shared<Generated>(seed, size); }
ContentPtr joined_content(std::vector<ContentPtr> parts) { return std::make_shared<Joined>(std::move(parts)); }
ContentPtr part_of_content(ContentPtr whole, uint64_t begin, uint64_t end) {
  return std::make_shared<Part>(std::move(whole), begin, end);
}
ContentPtr sunk_content(uint64_t size) { return std::make_shared<Sunk>(size); }
ContentPtr flipped_content(ContentPtr whole, uint64_t offset) {
  return std::make_shared<Inverted>(std::move(whole), offset, offset + 1);
}
ContentPtr inverted_content(ContentPtr whole) {
  const uint64_t size = whole->size();
  return std::make_shared<Inverted>(std::move(whole), 0, size);
}

std::string read_all(const Content& content) {
  std::string all(content.size(), '\0');
  if (!all.empty()) content.read(0, all.data(), all.size());
  return all;
}

// The finaliser of SplitMix64 after one step.
uint64_t mix(uint64_t value) noexcept {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

}  // namespace waybill::testing::fault

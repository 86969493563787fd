// SPDX-License-Identifier: Apache-2.0
//
// A text that must not be shown, and the file that one may be read from.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace waybill::internal {

/// A text that must not be shown. No output operator and no conversion; reveal() is the one way to it. Its memory is
/// wiped when it dies or is replaced.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text);
  Secret(const Secret& other);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret other) noexcept;
  ~Secret();

  std::string_view reveal() const noexcept { return {data_.get(), size_}; }
  bool empty() const noexcept { return size_ == 0; }
  bool operator==(const Secret& other) const noexcept;

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

/// Overwrites `text` and empties it: for texts that secrets came in.
void wipe(std::string& text) noexcept;

/// The whole of a file of at most a megabyte; empty if there is none. Errors: permission, local_io (it cannot be read),
/// configuration (longer).
Secret read_small_file(const std::string& path);

}  // namespace waybill::internal

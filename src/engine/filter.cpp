// SPDX-License-Identifier: Apache-2.0

#include "engine/filter.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace waybill::internal {
namespace {

// Matches one `[…]` of the glob, which begins at `at`, against `byte`; moves `at` behind it. An unclosed one is a
// literal '['.
bool matches_set(std::string_view glob, size_t& at, unsigned char byte) noexcept {
  size_t i = at + 1;
  const bool negated = i < glob.size() && (glob[i] == '!' || glob[i] == '^');
  if (negated) ++i;
  bool found = false;
  for (size_t first = i; i < glob.size() && (glob[i] != ']' || i == first); ++i) {
    if (i + 2 < glob.size() && glob[i + 1] == '-' && glob[i + 2] != ']') {
      found = found || (static_cast<unsigned char>(glob[i]) <= byte && byte <= static_cast<unsigned char>(glob[i + 2]));
      i += 2;
    } else {
      found = found || static_cast<unsigned char>(glob[i]) == byte;
    }
  }
  if (i >= glob.size()) {
    ++at;
    return byte == '[';
  }
  at = i + 1;
  return found != negated && byte != '/';
}

bool matches(std::string_view glob, std::string_view key) noexcept {
  // The last star is the only one that ever has to be tried again; `**` and `*` are kept apart because only the first
  // may be tried again across a '/'.
  size_t g = 0;
  size_t k = 0;
  size_t star_g = std::string_view::npos, star_k = 0;
  size_t deep_g = std::string_view::npos, deep_k = 0;
  for (;;) {
    if (g < glob.size() && glob[g] == '*') {
      if (g + 1 < glob.size() && glob[g + 1] == '*') {
        g += 2;
        if (g < glob.size() && glob[g] == '/' && (k == 0 || key[k - 1] == '/')) ++g;
        deep_g = g;
        deep_k = k;
        star_g = std::string_view::npos;
      } else {
        star_g = ++g;
        star_k = k;
      }
      continue;
    }
    if (k == key.size() && g == glob.size()) return true;
    if (k < key.size() && g < glob.size()) {
      size_t next = g + 1;
      bool same = false;
      if (glob[g] == '?') {
        same = key[k] != '/';
      } else if (glob[g] == '[') {
        next = g;
        same = matches_set(glob, next, static_cast<unsigned char>(key[k]));
      } else if (glob[g] == '\\' && g + 1 < glob.size()) {
        same = glob[g + 1] == key[k];
        next = g + 2;
      } else {
        same = glob[g] == key[k];
      }
      if (same) {
        g = next;
        ++k;
        continue;
      }
    }
    if (star_g != std::string_view::npos && star_k < key.size() && key[star_k] != '/') {
      g = star_g;
      k = ++star_k;
    } else if (deep_g != std::string_view::npos && deep_k < key.size()) {
      g = deep_g;
      k = ++deep_k;
      star_g = std::string_view::npos;
    } else {
      return false;
    }
  }
}

bool has_extension(std::string_view key, const std::vector<std::string>& extensions) noexcept {
  const std::string_view name = key.substr(key.rfind('/') + 1);
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  return std::any_of(extensions.begin(), extensions.end(), [&](const std::string& extension) {
    return equals_ignoring_case(name.substr(dot + 1), extension);
  });
}

std::optional<int64_t> modified_at_ms(const Item& item) noexcept {
  constexpr int64_t ns_per_ms = 1'000'000;
  if (!item.stamp.mtime_ns) return item.modified_at_ms;
  const int64_t ns = *item.stamp.mtime_ns;
  return ns / ns_per_ms - (ns % ns_per_ms < 0 ? 1 : 0);
}

}  // namespace

bool glob_matches(std::string_view glob, std::string_view key) noexcept {
  if (!glob.empty() && glob.front() == '/') return matches(glob.substr(1), key);
  if (glob.find('/') != std::string_view::npos) return matches(glob, key);
  // An empty folder's key ends in '/': its name is the component before it.
  std::string_view name = key;
  if (!name.empty() && name.back() == '/') name.remove_suffix(1);
  return matches(glob, name.substr(name.rfind('/') + 1));
}

std::optional<std::string> excluding_rule(const Item& item, const Options& options) {
  const auto matching = [&](const std::string& glob) { return glob_matches(glob, item.key()); };
  const auto exclude = std::find_if(options.exclude.begin(), options.exclude.end(), matching);
  if (exclude != options.exclude.end()) return "exclude " + *exclude;
  if (!options.include.empty() && std::none_of(options.include.begin(), options.include.end(), matching)) return "include";
  if (options.max_size_bytes != 0 && item.stamp.size.value_or(0) > options.max_size_bytes) {
    return "max-size " + std::to_string(options.max_size_bytes);
  }
  if (options.min_size_bytes != 0 && item.stamp.size && *item.stamp.size < options.min_size_bytes) {
    return "min-size " + std::to_string(options.min_size_bytes);
  }
  if (!options.extensions.empty() && !has_extension(item.key(), options.extensions)) return "extension";
  if (options.modified_since_ms || options.modified_before_ms) {
    const std::optional<int64_t> at = modified_at_ms(item);
    if (options.modified_since_ms && (!at || *at < *options.modified_since_ms)) {
      return "modified-since " + format_rfc3339(*options.modified_since_ms);
    }
    if (options.modified_before_ms && (!at || *at >= *options.modified_before_ms)) {
      return "modified-before " + format_rfc3339(*options.modified_before_ms);
    }
  }
  return std::nullopt;
}

}  // namespace waybill::internal

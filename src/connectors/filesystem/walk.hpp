// SPDX-License-Identifier: Apache-2.0
//
// A tree as a listing in byte order of its keys. Folders are sorted as "name/", so that the order in which the walk
// meets things is the order of the full keys, and nothing has to be sorted but one folder at a time.
//
// Memory: the names of one folder for each level of depth. Descriptors: max_open_folders at most, whatever the depth.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "connectors/filesystem/root.hpp"
#include "waybill/source.hpp"

namespace waybill::filesystem {

/// The names in one folder, sorted; those of folders end in '/'. One block of memory, not one for each name.
class Names {
 public:
  void add(std::string_view name, bool is_folder);
  void sort();
  /// Adds a folder behind `index`, in its place.
  void insert_folder(size_t index, std::string_view name);
  /// Drops what lies wholly at or before `bound`, a key relative to this folder.
  void skip_through(std::string_view bound);
  /// Drops names longer than `size`; whether there was one.
  bool drop_longer_than(size_t size);

  size_t size() const noexcept { return starts_.size(); }
  std::string_view at(size_t index) const noexcept { return bytes_.c_str() + starts_[index]; }

 private:
  std::string bytes_;           // each name ends in NUL
  std::vector<size_t> starts_;  // into bytes_
};

/// Whose listing it is.
enum class View : int {
  source = 0,       ///< everything; a root that is not there is an error
  destination = 1,  ///< without staged files; a root that is not there holds nothing
};

class Walk final : public Lister {
 public:
  static constexpr size_t page_items = 1000;
  static constexpr size_t max_open_folders = 32;

  /// `root` must outlive it. `request.resume` is the last key of an earlier page. Errors: invalid_argument (a scope).
  Walk(const Root& root, const ListRequest& request, View view);

  Page next(Context& context) override;

 private:
  struct Level {
    Names names;
    size_t index = 0;        // of the next name
    size_t prefix_size = 0;  // of prefix_, in this folder
    Fd fd;                   // empty where the descriptor was given back
  };

  void step(Context& context);
  void start(Context& context);
  void visit_folder(Level& level, Key key, Context& context);
  void visit_other(Level& level, Key key, Context& context);
  Names read_names(int folder, Context& context) const;
  void push(Names names, Fd fd);
  bool reopen(Level& level);
  void emit(Item item);
  void refuse(Key key, ErrorClass error_class, std::string reason);

  const Root& root_;
  View view_;
  Key after_;
  Key before_;
  bool is_started_ = false;
  std::string prefix_;         // of the deepest level: "" or "a/b/"
  std::vector<Level> levels_;  // from the root to where the walk is
  std::vector<Item> pending_;  // of the next page; kept when a call fails half-way
  Key last_key_;
};

}  // namespace waybill::filesystem

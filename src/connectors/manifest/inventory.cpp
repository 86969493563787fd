// SPDX-License-Identifier: Apache-2.0
#include "connectors/manifest/inventory.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill::manifest {
namespace {

namespace fs = std::filesystem;

constexpr uintmax_t longest_manifest = uintmax_t{64} << 20;

std::string text_of(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

Inventory read_inventory(const std::string& path, const std::string& folder) {
  const auto fail = [&](const std::string& why) {
    return Error(ErrorCode::invalid_argument, ErrorClass::configuration, printable(path) + ": " + why);
  };
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw system_error(errno != 0 ? errno : ENOENT, "cannot read the manifest " + printable(path));
  std::error_code ignored;
  if (fs::file_size(path, ignored) > longest_manifest) throw fail("is longer than any manifest of an S3 Inventory");
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  if (json.is_discarded() || !json.is_object()) throw fail("is no manifest.json of an S3 Inventory");
  const std::string format = text_of(json, "fileFormat");
  if (format != "CSV") {
    throw fail("its rows are in " + (format.empty() ? "no format that it names" : printable(format)) +
               "; CSV can be read: set the inventory's output format to CSV");
  }
  Inventory inventory;
  inventory.bucket = text_of(json, "sourceBucket");
  const std::string schema = text_of(json, "fileSchema");
  for (size_t at = 0; at < schema.size();) {
    const size_t end = std::min(schema.find(',', at), schema.size());
    inventory.columns.push_back(internal::to_lower(internal::trim(std::string_view(schema).substr(at, end - at))));
    at = end + 1;
  }
  if (std::find(inventory.columns.begin(), inventory.columns.end(), "key") == inventory.columns.end())
    throw fail("its fileSchema has no Key");
  const auto files = json.find("files");
  if (files == json.end() || !files->is_array()) throw fail("names no files");
  const fs::path beside = fs::path(path).parent_path();
  for (const nlohmann::json& entry : *files) {
    const std::string key = entry.is_object() ? text_of(entry, "key") : "";
    if (key.empty()) throw fail("names a file without a key");
    const std::string name = fs::path(key).filename();
    std::vector<fs::path> places = {fs::path(folder) / name};
    if (folder.empty()) places = {beside / name, beside / "data" / name, beside.parent_path() / "data" / name};
    const auto place = std::find_if(places.begin(), places.end(), [](const fs::path& each) {
      std::error_code none;
      return fs::is_regular_file(each, none);
    });
    if (place == places.end()) {
      throw fail("the data file " + printable(name) + " is not there; get it from " + printable(key) +
                 " into the folder of manifest.json, or name another one with parts=");
    }
    const uint64_t size = fs::file_size(*place, ignored);
    if (const auto said = entry.find("size");
        said != entry.end() && said->is_number_unsigned() && said->get<uint64_t>() != size) {
      throw fail("the data file " + printable(name) + " has " + std::to_string(size) + " bytes, and should have " +
                 std::to_string(said->get<uint64_t>()));
    }
    inventory.parts.push_back({place->string(), size});
  }
  return inventory;
}

std::string decode_inventory_key(const std::string& text, bool& is_sound) {
  std::string spaced = text;
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  auto key = internal::percent_decode(spaced);
  is_sound = key.has_value();
  return key.value_or("");
}

}  // namespace waybill::manifest

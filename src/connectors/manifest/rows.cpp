// SPDX-License-Identifier: Apache-2.0
#include "connectors/manifest/rows.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "base/text.hpp"
#include "waybill/item.hpp"

namespace waybill::manifest {
namespace {

constexpr size_t longest_row = 1 << 20;

std::string column_name(std::string_view text) { return internal::to_lower(internal::trim(text)); }

class CsvRows final : public Rows {
 public:
  CsvRows(Bytes& bytes, std::vector<std::string> columns, Context& context)
      : bytes_(bytes), columns_(std::move(columns)) {
    if (!columns_.empty()) return;
    uint64_t line = 0;
    std::optional<std::vector<std::string>> header = fields(line, context);
    if (!header) throw broken(bytes_, 1, "the file is empty; the first row has the names of the columns");
    for (const std::string& name : *header) columns_.push_back(column_name(name));
    if (std::set<std::string>(columns_.begin(), columns_.end()).size() != columns_.size()) {
      throw broken(bytes_, line, "two columns have the same name");
    }
  }

  std::optional<Row> next(uint64_t& line, Context& context) override {
    std::optional<std::vector<std::string>> values = fields(line, context);
    if (!values) return std::nullopt;
    if (values->size() != columns_.size()) {
      throw broken(bytes_, line,
                   "has " + std::to_string(values->size()) + " fields, and there are " +
                       std::to_string(columns_.size()) + " columns");
    }
    Row row;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (!(*values)[i].empty()) row.emplace(columns_[i], std::move((*values)[i]));
    }
    return row;
  }

 private:
  // The fields of the next row that is not empty; nothing at the end of the file.
  std::optional<std::vector<std::string>> fields(uint64_t& line, Context& context) {
    for (;;) {
      line = bytes_.line();
      if (bytes_.peek(context) == Bytes::end) return std::nullopt;
      std::vector<std::string> values;
      size_t length = 0;
      while (field(values.emplace_back(), length, line, context)) {
      }
      if (values.size() > 1 || !values.front().empty() || length > 0) return values;
    }
  }

  // True where another field follows in the row.
  bool field(std::string& value, size_t& length, uint64_t line, Context& context) {
    bool is_quoted = false;
    bool is_closed = false;
    for (;;) {
      const int byte = bytes_.next(context);
      if (byte == Bytes::end && is_quoted && !is_closed) throw broken(bytes_, line, "a quote is opened and not closed");
      if (byte == Bytes::end) return false;
      if (!is_quoted || is_closed) {
        if (byte == ',') return true;
        if (byte == '\n') return false;
        if (byte == '\r' && bytes_.peek(context) == '\n') continue;
        if (is_closed)
          throw broken(bytes_, line,
                       "something stands behind a closing quote; a quote within a field is written twice");
        if (byte == '"' && !value.empty())
          throw broken(bytes_, line, "a quote stands in a field that does not begin with one");
        if (byte == '"') {
          is_quoted = true;
          ++length;
          continue;
        }
      } else if (byte == '"') {
        if (bytes_.peek(context) != '"') {
          is_closed = true;
          continue;
        }
        bytes_.next(context);
      }
      if (++length > longest_row) throw broken(bytes_, line, "the row is longer than 1 MiB; is a quote not closed?");
      value += static_cast<char>(byte);
    }
  }

  Bytes& bytes_;
  std::vector<std::string> columns_;
};

class JsonRows final : public Rows {
 public:
  explicit JsonRows(Bytes& bytes) : bytes_(bytes) {}

  std::optional<Row> next(uint64_t& line, Context& context) override {
    std::string text;
    do {
      line = bytes_.line();
      text.clear();
      int byte = bytes_.next(context);
      if (byte == Bytes::end) return std::nullopt;
      for (; byte != Bytes::end && byte != '\n'; byte = bytes_.next(context)) {
        if (text.size() == longest_row) throw broken(bytes_, line, "is longer than 1 MiB");
        text += static_cast<char>(byte);
      }
    } while (internal::trim(text).empty());
    const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
    if (object.is_discarded() || !object.is_object()) throw broken(bytes_, line, "is no JSON object in UTF-8");
    Row row;
    for (const auto& [name, value] : object.items()) {
      if (value.is_string()) row.emplace(internal::to_lower(name), value.get<std::string>());
      if (value.is_number()) row.emplace(internal::to_lower(name), value.dump());
    }
    return row;
  }

 private:
  Bytes& bytes_;
};

}  // namespace

Error broken(const Bytes& bytes, uint64_t line, const std::string& why) {
  return Error(ErrorCode::invalid_argument, ErrorClass::configuration,
               printable(bytes.path()) + ", line " + std::to_string(line) + ": " + why);
}

std::unique_ptr<Rows> csv_rows(Bytes& bytes, std::vector<std::string> columns, Context& context) {
  return std::make_unique<CsvRows>(bytes, std::move(columns), context);
}

std::unique_ptr<Rows> json_rows(Bytes& bytes) { return std::make_unique<JsonRows>(bytes); }

}  // namespace waybill::manifest

// SPDX-License-Identifier: Apache-2.0
#include "connectors/manifest/rows.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "base/csv.hpp"
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
  // The fields of the next row; nothing at the end of the file.
  std::optional<std::vector<std::string>> fields(uint64_t& line, Context& context) {
    using State = internal::CsvParser::State;
    State state = State::more;
    while (state == State::more) {
      const std::string_view ahead = bytes_.ahead(context);
      if (parser_.is_between_rows()) line = bytes_.line();
      if (ahead.empty() && parser_.is_between_rows()) return std::nullopt;
      std::string_view rest = ahead;
      state = ahead.empty() ? parser_.finish() : parser_.take(rest);
      bytes_.skip(ahead.size() - rest.size());
    }
    if (state == State::broken) throw broken(bytes_, line, parser_.why());
    return std::move(parser_.fields());
  }

  Bytes& bytes_;
  std::vector<std::string> columns_;
  internal::CsvParser parser_{longest_row};
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

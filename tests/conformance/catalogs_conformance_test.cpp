// SPDX-License-Identifier: Apache-2.0
//
// The catalogs under the conformance suite: SQLite with each kind of id, and the one in memory that other tests use.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "conformance/conformance.hpp"
#include "connectors/sql_catalog/connection.hpp"
#include "support/memory_catalog.hpp"
#include "waybill/connectors.hpp"

namespace waybill::conformance {

namespace {

using sql_catalog::Connection;
using sql_catalog::Statement;
using testing::MemoryCatalog;

template <Catalog::Conditional conditional>
class MemoryCatalogFixture final : public CatalogFixture {
 public:
  Catalog& catalog() override { return catalog_; }
  std::string field() const override { return "url"; }
  void put(std::span<const ReferenceValue> records) override {
    for (const ReferenceValue& record : records) {
      catalog_.put(record.id.record, {record.value, record.partition, record.partition_name, record.names});
    }
  }
  void set(const std::string& record, const std::optional<std::string>& value) override { catalog_.set(record, value); }
  void remove(const std::string& record) override { catalog_.remove(record); }
  std::optional<std::string> value(const std::string& record) override { return catalog_.value(record); }
  Kept kept() const override { return {true, true, true, {"file_name", "created"}}; }
  std::optional<std::string> refused_value() const override { return std::string(300, 'x'); }
  bool stall() override {
    catalog_.set_hook([](const std::string&, const std::string&, Context& context) {
      while (context.sleep(std::chrono::seconds(1))) continue;
      context.check();
    });
    return true;
  }
  void resume() override { catalog_.set_hook(nullptr); }

 private:
  MemoryCatalog catalog_{{.conditional = conditional, .max_value_length = 200}};
};

enum class Ids { text, text_without_rowid, folding, integer, untyped };

template <Ids ids>
class SqliteFixture final : public CatalogFixture {
 public:
  SqliteFixture() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    std::ofstream(folder_ / "crm.db", std::ios::app);
    others_.emplace(folder_ / "crm.db", Connection::Access::write, Context::background());
    run("PRAGMA synchronous = OFF");
    // The collations are traps: neither the record nor the value may be compared by them.
    const std::string id = ids == Ids::integer   ? "INTEGER PRIMARY KEY"
                           : ids == Ids::untyped ? "PRIMARY KEY NOT NULL"
                           : ids == Ids::folding ? "TEXT COLLATE NOCASE NOT NULL"
                                                 : "TEXT PRIMARY KEY NOT NULL";
    run("CREATE TABLE \"the \"\"documents\" (\"an id\" " + id +
        ", \"URL\" TEXT COLLATE NOCASE, account TEXT, account_name TEXT, changed INTEGER, file_name TEXT" +
        ", CHECK (length(\"URL\") <= 200))" + (ids == Ids::text_without_rowid ? " WITHOUT ROWID" : ""));
    run("CREATE VIEW reader AS SELECT * FROM \"the \"\"documents\"");
    if (ids == Ids::folding) run("CREATE UNIQUE INDEX by_id ON \"the \"\"documents\" (\"an id\" COLLATE BINARY)");
    catalog_ = open_catalog(url("crm.db", "The%20%22Documents"));
  }
  ~SqliteFixture() override {
    others_.reset();
    std::filesystem::remove_all(folder_);
  }

  Catalog& catalog() override { return *catalog_; }
  std::string field() const override { return "URL"; }
  void put(std::span<const ReferenceValue> records) override {
    run("BEGIN");
    Statement insert(*others_, "INSERT INTO \"the \"\"documents\" VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    for (const ReferenceValue& record : records) {
      insert.reset();
      insert.bind(1, std::string_view(record.id.record));
      insert.bind(2, record.value);
      insert.bind(3, std::string_view(record.partition));
      insert.bind(4, std::string_view(record.partition_name));
      insert.bind(5, ++changes_);
      const std::string name = record.names.contains("file_name") ? record.names.at("file_name") : "";
      insert.bind(6, std::string_view(name));
      insert.step();
    }
    run("COMMIT");
  }
  void set(const std::string& record, const std::optional<std::string>& value) override {
    Statement update(*others_, "UPDATE \"the \"\"documents\" SET \"URL\" = ?2, changed = ?3 WHERE \"an id\" = ?1 COLLATE BINARY");
    update.bind(1, std::string_view(record));
    update.bind(2, value);
    update.bind(3, ++changes_);
    update.step();
  }
  void remove(const std::string& record) override {
    Statement gone(*others_, "DELETE FROM \"the \"\"documents\" WHERE \"an id\" = ?1 COLLATE BINARY");
    gone.bind(1, std::string_view(record));
    gone.step();
  }
  std::optional<std::string> value(const std::string& record) override {
    Statement look(*others_, "SELECT \"URL\" FROM \"the \"\"documents\" WHERE \"an id\" = ?1 COLLATE BINARY");
    look.bind(1, std::string_view(record));
    if (!look.step()) {
      ADD_FAILURE() << "there is no record " << record;
      return std::nullopt;
    }
    return look.optional_text(0);
  }
  Kept kept() const override { return {true, true, true, {"file_name"}}; }
  std::string record(int number) const override { return ids == Ids::integer ? std::to_string(number) : "record " + std::to_string(number); }
  bool can_hold_record(const std::string& record) const override {
    return ids != Ids::integer || record == "7" || record == "-1" || record == "0" || record == "9223372036854775807";
  }
  std::optional<std::string> refused_value() const override { return std::string(201, 'x'); }
  bool stall() override {
    run("BEGIN EXCLUSIVE");
    return true;
  }
  void resume() override { run("ROLLBACK"); }
  std::shared_ptr<Catalog> missing_store() override { return open_catalog(url("no such.db", "documents")); }
  std::shared_ptr<Catalog> without_right_to_update() override { return open_catalog(url("crm.db", "reader")); }

 private:
  std::string url(const std::string& file, const std::string& table) const {
    std::string path = folder_ / file;
    for (size_t at = 0; (at = path.find(' ', at)) != std::string::npos;) path.replace(at, 1, "%20");
    return "sqlite://" + path + "?table=" + table +
           "&id=an%20id&url=URL&partition=account&partition_name=account_name&stamp=changed&names=file_name";
  }
  void run(const std::string& sql) { others_->execute(sql.c_str()); }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("waybill catalog " + std::to_string(::getpid()));
  int64_t changes_ = 0;
  std::optional<Connection> others_;
  std::shared_ptr<Catalog> catalog_;
};

}  // namespace

WAYBILL_CONFORMANCE_CATALOG(MemoryExact, MemoryCatalogFixture<Catalog::Conditional::exact>);
WAYBILL_CONFORMANCE_CATALOG(MemoryWeak, MemoryCatalogFixture<Catalog::Conditional::weak>);
WAYBILL_CONFORMANCE_CATALOG(MemoryUnconditional, MemoryCatalogFixture<Catalog::Conditional::none>);
WAYBILL_CONFORMANCE_CATALOG(SqliteTextId, SqliteFixture<Ids::text>);
WAYBILL_CONFORMANCE_CATALOG(SqliteWithoutRowid, SqliteFixture<Ids::text_without_rowid>);
WAYBILL_CONFORMANCE_CATALOG(SqliteFoldingId, SqliteFixture<Ids::folding>);
WAYBILL_CONFORMANCE_CATALOG(SqliteIntegerId, SqliteFixture<Ids::integer>);
WAYBILL_CONFORMANCE_CATALOG(SqliteUntypedId, SqliteFixture<Ids::untyped>);

}  // namespace waybill::conformance

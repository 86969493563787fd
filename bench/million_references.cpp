// SPDX-License-Identifier: Apache-2.0
//
// What a cutover costs by itself: a table of N records in a SQLite database, each with the old URL of an item of its own;
// items that are made up as they are asked for, copied to a destination that keeps nothing, and verified. Then the plan,
// the cutover and the rollback of all of them, each with its time a reference, and the memory of this process over it.
//
// What a user would pay beside: a request an item to the old store, which is asked once more before its reference is
// switched; here that costs nothing.
#include <sqlite3.h>

#include <atomic>
#include <cstring>
#include <iostream>
#include <memory>

#include "measure.hpp"
#include "waybill/waybill.hpp"

namespace {

constexpr uint64_t page_items = 1000;
constexpr double most_growth_mib = 48;
constexpr auto sample_pause = std::chrono::milliseconds(20);
constexpr const char* old_place = "https://old-store.example.com/documents/";
constexpr const char* new_place = "https://files.example.com/";

std::string key_of(uint64_t n) {
  char key[48];
  std::snprintf(key, sizeof key, "accounts/%04llu/contract-%09llu.pdf", static_cast<unsigned long long>(n / 2'700),
                static_cast<unsigned long long>(n));
  return key;
}

uint64_t number_of(const std::string& key) { return std::strtoull(key.c_str() + std::strlen("accounts/0000/contract-"), nullptr, 10); }

waybill::Item item_of(uint64_t n) {
  char etag[33];
  std::snprintf(etag, sizeof etag, "%032llx", static_cast<unsigned long long>(n));
  waybill::Item item;
  item.id.key = key_of(n);
  item.stamp.size = 1 + n % 4;
  item.stamp.etag = etag;
  return item;
}

class GeneratedLister final : public waybill::Lister {
 public:
  GeneratedLister(const waybill::Key& after, uint64_t end) : next_(after.empty() ? 0 : number_of(after) + 1), end_(end) {}

  waybill::Page next(waybill::Context& context) override {
    context.check();
    waybill::Page page;
    while (next_ < end_ && page.items.size() < page_items) page.items.push_back(item_of(next_++));
    page.is_last = next_ >= end_;
    if (!page.items.empty()) page.resume = page.items.back().key();
    return page;
  }

 private:
  uint64_t next_;
  const uint64_t end_;
};

class GeneratedSource final : public waybill::Source {
 public:
  explicit GeneratedSource(uint64_t items) : items_(items) {}

  Capabilities capabilities() const override { return {.positioned = true, .order = waybill::Order::byte_key}; }
  std::string identity() const override { return "generated://documents/"; }
  std::string endpoint() const override { return "generated"; }
  std::unique_ptr<waybill::Lister> list(const waybill::ListRequest& request, waybill::Context&) override {
    return std::make_unique<GeneratedLister>(request.resume, items_);
  }
  waybill::ReadResult read(const waybill::Item& item, uint64_t offset, std::span<std::byte> out, waybill::Context&) override {
    const waybill::Item now = item_of(number_of(item.key()));
    waybill::ReadResult result;
    result.total_size = *now.stamp.size;
    result.count = static_cast<size_t>(std::min<uint64_t>(out.size(), *now.stamp.size - std::min(offset, *now.stamp.size)));
    std::memset(out.data(), 'x', result.count);
    result.stamp = now.stamp;
    return result;
  }
  std::optional<waybill::Item> stat(const waybill::ItemId& id, waybill::Context&) override {
    ++stats_;
    return item_of(number_of(id.key));
  }
  std::optional<waybill::ItemId> item_at(std::string_view url) const override {
    if (!url.starts_with(old_place)) return std::nullopt;
    return waybill::ItemId{"", waybill::Key(url.substr(std::strlen(old_place))), ""};
  }
  uint64_t stats() const { return stats_; }

 private:
  const uint64_t items_;
  std::atomic<uint64_t> stats_{0};
};

class NullDestination final : public waybill::Destination {
 public:
  void show(uint64_t items) { shown_ = items; }

  Capabilities capabilities() const override {
    Capabilities can;
    can.order = waybill::Order::byte_key;
    can.conditional = true;
    can.listing_has_etag = true;
    return can;
  }
  std::string identity() const override { return "null://files/"; }
  std::string endpoint() const override { return "null"; }
  std::unique_ptr<waybill::Lister> list(const waybill::ListRequest&, waybill::Context&) override {
    return std::make_unique<GeneratedLister>("", shown_);
  }
  std::optional<waybill::Item> stat(const waybill::Key& key, waybill::Context&) override {
    if (number_of(key) >= shown_) return std::nullopt;
    return item_of(number_of(key));
  }
  waybill::Stored put(const waybill::Key& key, const waybill::Body& body, const waybill::WriteOptions&, waybill::Context&) override {
    waybill::Stored stored;
    stored.size = body.size();
    stored.etag = item_of(number_of(key)).stamp.etag;
    stored.digest = body.digest();
    return stored;
  }

 private:
  std::atomic<uint64_t> shown_{0};
};

void execute(sqlite3* database, const std::string& sql) {
  char* message = nullptr;
  if (sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) throw std::runtime_error(message);
}

void make_catalog(const std::filesystem::path& file, uint64_t records) {
  sqlite3* database = nullptr;
  if (sqlite3_open(file.c_str(), &database) != SQLITE_OK) throw std::runtime_error("no database can be made");
  execute(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; BEGIN");
  execute(database, "CREATE TABLE documents (id TEXT PRIMARY KEY, account TEXT NOT NULL, url TEXT)");
  sqlite3_stmt* insert = nullptr;
  sqlite3_prepare_v2(database, "INSERT INTO documents VALUES (?, ?, ?)", -1, &insert, nullptr);
  for (uint64_t n = 0; n < records; ++n) {
    char id[24];
    std::snprintf(id, sizeof id, "a0D3D00000%08llX", static_cast<unsigned long long>(n));
    const std::string account = "0013D00000" + std::to_string(n / 2'700);
    const std::string url = old_place + key_of(n);
    sqlite3_bind_text(insert, 1, id, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(insert, 2, account.c_str(), -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(insert, 3, url.c_str(), -1, SQLITE_TRANSIENT);
    if (sqlite3_step(insert) != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database));
    sqlite3_reset(insert);
  }
  sqlite3_finalize(insert);
  execute(database, "COMMIT");
  sqlite3_close(database);
}

/// How many values begin with `begins`.
int64_t count_of(const std::filesystem::path& file, const std::string& begins) {
  sqlite3* database = nullptr;
  sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READONLY, nullptr);
  sqlite3_stmt* count = nullptr;
  sqlite3_prepare_v2(database, ("SELECT count(*) FROM documents WHERE substr(url, 1, " + std::to_string(begins.size()) + ") = '" + begins + "'").c_str(), -1,
                     &count, nullptr);
  const int64_t n = sqlite3_step(count) == SQLITE_ROW ? sqlite3_column_int64(count, 0) : -1;
  sqlite3_finalize(count);
  sqlite3_close(database);
  return n;
}

double mib_now() { return bench::mib(bench::own_memory("VmRSS")); }

struct Measured {
  double seconds = 0;
  double cpu_seconds = 0;
  double most_mib = 0;
};

Measured measure(const char* name, uint64_t references, const std::function<std::unique_ptr<waybill::Run>()>& begin) {
  Measured result;
  const double cpu = bench::own_cpu_seconds();
  const auto start = bench::Clock::now();
  const std::unique_ptr<waybill::Run> run = begin();
  result.most_mib = mib_now();
  while (run && !run->wait(sample_pause)) result.most_mib = std::max(result.most_mib, mib_now());
  result.seconds = bench::seconds_since(start);
  result.cpu_seconds = bench::own_cpu_seconds() - cpu;
  const double n = static_cast<double>(references);
  std::printf("%-9s %.1f s, %.1f us a reference (CPU %.1f us), most memory %.1f MiB%s%s\n", name, result.seconds, result.seconds / n * 1e6,
              result.cpu_seconds / n * 1e6, result.most_mib, run ? ": " : "", run ? run->wait().message.c_str() : "");
  return result;
}

int run(uint64_t references) {
  std::printf("million_references: %llu records of a SQLite table, an item each\n", static_cast<unsigned long long>(references));
  bench::print_setup(waybill::version());
  const bench::TemporaryFolder folder(std::filesystem::temp_directory_path());
  const std::filesystem::path database = folder.path() / "crm.db";
  const std::filesystem::path ledger = folder.path() / "ledger.db";
  make_catalog(database, references);

  const auto source = std::make_shared<GeneratedSource>(references);
  const auto destination = std::make_shared<NullDestination>();
  waybill::Migration migration(source, destination, waybill::open_tracker(ledger.string()));
  migration.set_catalog(waybill::open_catalog("sqlite://" + database.string() + "?table=documents&id=id&url=url&partition=account"));
  if (migration.run().exit_code != 0) throw std::runtime_error("the copy failed");
  destination->show(references);
  if (migration.verify().exit_code != 0) throw std::runtime_error("the verification failed");
  const double ledger_of_items = static_cast<double>(std::filesystem::file_size(ledger));
  const double before = mib_now();
  std::printf("backed up, %.1f MiB of memory\n", before);

  waybill::CutoverOptions options;
  options.url_template = std::string(new_place) + "{destination_key}";
  options.probes = 0;
  waybill::CutoverPlan plan;
  const Measured planned = measure("plan", references, [&] {
    plan = migration.plan_cutover(options);
    return std::unique_ptr<waybill::Run>();
  });
  const Measured switched = measure("cutover", references, [&] { return migration.start_cutover(plan.hash); });
  const int64_t n_new = count_of(database, new_place);
  const Measured restored = measure("rollback", references, [&] { return migration.start_rollback(); });
  const int64_t n_old = count_of(database, old_place);
  const double ledger_bytes = (static_cast<double>(std::filesystem::file_size(ledger)) - ledger_of_items) / static_cast<double>(references);
  std::printf("ledger    %.0f bytes a reference, with its journal; %llu looks at the source\n", ledger_bytes,
              static_cast<unsigned long long>(source->stats()));

  bench::Gates gates;
  const double n = static_cast<double>(references);
  gates.at_least("references planned", static_cast<double>(plan.references.pending), n, "");
  gates.at_least("references switched", static_cast<double>(n_new), n, "");
  gates.at_least("references restored", static_cast<double>(n_old), n, "");
  gates.at_most("growth of memory", std::max({planned.most_mib, switched.most_mib, restored.most_mib}) - before, most_growth_mib, "MiB");
  return gates.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const uint64_t references = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'344'438;
    if (argc > 2 || references == 0 || references > 20'000'000) throw std::runtime_error("usage: million_references [N]");
    return run(references);
  } catch (const std::exception& error) {
    std::cerr << "million_references: " << error.what() << '\n';
    return 2;
  }
}

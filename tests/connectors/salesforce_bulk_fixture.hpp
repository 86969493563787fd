// SPDX-License-Identifier: Apache-2.0
//
// Readers and writers of records on a test organization, whose jobs are complete at the first look.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "connectors/salesforce/client.hpp"
#include "connectors/salesforce/config.hpp"
#include "connectors/salesforce/record_reader.hpp"
#include "connectors/salesforce_fixture.hpp"
#include "support/fault_server/salesforce_service.hpp"

namespace waybill::salesforce {

class SalesforceJobs : public SalesforceTest {
 protected:
  void SetUp() override {
    organization_.set({{"bulk_polls", 0}});
    open();
  }

  /// A client that knows nothing of what an earlier one did.
  void open(const std::string& more = "") {
    const std::string url = organization_.url("DocListEntry__c.Document__c", "", more);
    client_ = std::make_unique<Client>(FieldConfig::parse(Url::parse(url)).organization);
  }

  static Selection selection() { return {TestOrganization::entry, {"Account__r.Name", "Document__c", "Id"}, ""}; }

  struct Read {
    std::vector<std::string> ids;
    std::vector<std::string> resumes;  // of each page, and the records before its end
    std::vector<size_t> counts;
  };

  /// The rest of a reader, or so many pages with records.
  Read read(RecordReader& reader, size_t n_pages = SIZE_MAX) {
    Read all;
    for (bool is_last = false; !is_last && n_pages > 0;) {
      RecordPage page = reader.next(context_);
      is_last = page.is_last;
      if (!page.records.empty()) --n_pages;
      EXPECT_LE(page.records.size(), 2'000U);
      for (Record& record : page.records) all.ids.push_back(record.at("Id").value_or("(none)"));
      all.resumes.push_back(page.resume);
      all.counts.push_back(all.ids.size());
    }
    return all;
  }

  /// Says where ids are not those of the records from `first` to the last.
  static void expect_records(const std::vector<std::string>& ids, uint64_t first, uint64_t count) {
    ASSERT_EQ(ids.size(), count - first);
    for (size_t i = 0; i < ids.size(); ++i) ASSERT_EQ(ids[i], TestOrganization::id(first + i)) << "place " << i;
  }

  size_t jobs() {
    return organization_.server.salesforce().with_store([](auto& store) { return store.jobs.size(); });
  }

  /// Cancels the context once the server has been asked for `op` so often, and gives the moment.
  std::thread cancel_after(const std::string& op, uint64_t times, std::chrono::steady_clock::time_point& cancelled_at) {
    return std::thread([this, op, times, &cancelled_at] {
      while (organization_.calls(op) < times) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      cancelled_at = std::chrono::steady_clock::now();
      context_.cancel();
    });
  }

  std::unique_ptr<Client> client_;
};

}  // namespace waybill::salesforce

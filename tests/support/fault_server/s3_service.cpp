// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/s3_service.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "support/fault_server/s3_access.hpp"
#include "support/fault_server/s3_operations.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

// The settings that matter while a body streams in.
std::optional<BucketSettings> settings_for_body(S3Store& store, const S3Request& request) {
  Bucket* bucket = store.find(request.bucket);
  if (!bucket && store.settings.creates_buckets && !request.bucket.empty() && request.http->method != "GET" &&
      request.http->method != "HEAD" && request.op != "CreateBucket") {
    bucket = &store.make(request.bucket);
  }
  return bucket ? std::optional(bucket->settings) : std::nullopt;
}

// As long for every request, so that an answer's size does not depend on how many there were.
std::string request_id(uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(16 - std::min<size_t>(digits.size(), 16), '0') + digits;
}

bool has_content(const std::string& op) { return op == "PutObject" || op == "UploadPart"; }

CallName name_of(const S3Request& request) {
  CallName name{request.op, request.bucket, request.key, 0, 0, UINT64_MAX};
  if (request.op == "UploadPart" || request.op == "UploadPartCopy") {
    name.part = internal::parse_uint(request.parameter("partNumber")).value_or(0);
  }
  const std::string_view range = request.header("range");
  if (range.starts_with("bytes=") && range.size() > 6 && range[6] != '-') {
    const size_t dash = range.find('-');
    name.begin = internal::parse_uint(range.substr(6, dash - 6)).value_or(0);
    if (const auto last = internal::parse_uint(range.substr(dash + 1))) name.end = *last + 1;
  } else if (has_content(request.op)) {
    name.end = request.http->content_length;
  }
  return name;
}

}  // namespace

class S3Call : public Call {
 public:
  S3Call(S3Service& service, const Request& request, const ServerSettings& server,
         const std::optional<BucketSettings>& bucket, S3Request parsed)
      : service_(service),
        request_(std::move(parsed)),
        name_(name_of(request_)),
        body_(request_, has_content(request_.op), bucket ? &*bucket : nullptr),
        lacks_host_(request.header("host").empty()),
        clock_offset_s_(server.clock_offset_s),
        server_name_(server.name),
        id_2_(server.id_2) {}

  const CallName& name() const override { return name_; }
  void receive(std::string_view data) override { body_.receive(data); }
  uint64_t received_bytes() const override { return body_.size(); }
  Crc64 received_crc64() const override { return body_.crc64(); }

  std::optional<Answer> refusal() override {
    try {
      const std::lock_guard lock(service_.mutex_);
      check_access(service_.store_, request_);
      return std::nullopt;
    } catch (const S3Error& error) {
      return error_answer(error);
    }
  }

  Answer run(bool is_swapped) override {
    try {
      if (lacks_host_)
        throw S3Error{400, "InvalidRequest", "Missing required header for this request: Host", {}, {}};
      const std::lock_guard lock(service_.mutex_);
      check_access(service_.store_, request_);
      const Operation operation = find_operation(request_.op);
      if (!operation) throw S3Error{501, "NotImplemented", "This server has no such operation", {}, {}};
      S3Context context{service_.store_, request_, body_, service_.store_.find(request_.bucket), is_swapped};
      Answer answer = operation(context);
      add_common(answer);
      return answer;
    } catch (const S3Error& error) {
      return error_answer(error);
    }
  }

  Answer failure(int status, std::string_view code) override {
    return error_answer({status, std::string(code), "The fault server was told to say this.", {}, {}});
  }

 private:
  void add_common(Answer& answer) {
    const int64_t second = internal::now_ms() / 1000 + clock_offset_s_;
    if (service_.date_second_ != second) {
      service_.date_second_ = second;
      service_.date_ = internal::format_http_date(second);
    }
    answer.headers.emplace_back("x-amz-request-id", request_id(++service_.last_request_));
    answer.headers.emplace_back("Date", service_.date_);
    answer.headers.emplace_back("Server", server_name_);
    if (!id_2_.empty()) answer.headers.emplace_back("x-amz-id-2", id_2_);
  }

  Answer error_answer(const S3Error& error) {
    XmlWriter xml("Error", false);
    xml.element("Code", error.code).element("Message", error.message);
    for (const auto& [name, value] : error.elements) xml.element(name, value);
    xml.element("RequestId", request_id(service_.last_request_ + 1)).element("HostId", "fault_server");
    Answer answer = xml_answer(xml.finish());
    answer.status = error.status;
    answer.headers.insert(answer.headers.end(), error.headers.begin(), error.headers.end());
    add_common(answer);
    return answer;
  }

  S3Service& service_;
  S3Request request_;
  CallName name_;
  S3Body body_;
  bool lacks_host_;
  int64_t clock_offset_s_;
  std::string server_name_;
  std::string id_2_;
};

std::unique_ptr<Call> S3Service::begin(const Request& request) {
  const std::lock_guard lock(mutex_);
  S3Request parsed(request, store_.settings);
  const auto settings = settings_for_body(store_, parsed);
  return std::make_unique<S3Call>(*this, request, store_.settings, settings, std::move(parsed));
}

}  // namespace waybill::testing::fault

// SPDX-License-Identifier: Apache-2.0
//
// See tags.hpp.
#include "connectors/s3/tags.hpp"

#include <chrono>
#include <mutex>
#include <optional>

#include "base/text.hpp"

namespace waybill::s3 {
namespace {

using State = Learnt::Tags;
using Tags = std::map<std::string, std::string>;

Tags get_tags(Client& client, const std::string& key, const std::string& version, Context& context) {
  std::vector<Client::Parameter> parameters = {{"tagging", ""}};
  if (!version.empty()) parameters.emplace_back("versionId", version);
  internal::HttpResponse response =
      client.call(Client::Request{.method = "GET", .key = key, .query = aws::canonical_query(parameters)}, context);
  try {
    return parse_tagging(response.text);
  } catch (Error& error) {
    error.prepend(client.name(key));
    throw;
  }
}

// Of an object that is not said to have tags, by a store of which it is not known whether it would say so. What this
// answers is remembered, unless it says nothing about tags; an answer that is no list of tags is that of a store which
// has none.
Tags ask(Client& client, const std::string& key, const std::string& version, Context& context) {
  Learnt& learnt = client.learnt();
  try {
    Tags tags = get_tags(client, key, version, context);
    learnt.tags = tags.empty() ? State::counted : State::uncounted;
    if (!tags.empty()) {
      context.log(LogLevel::info, client.config().shown() +
                                      ": the store does not say how many tags an object has; it is asked for each");
    }
    return tags;
  } catch (const Error& error) {
    const int status = error.http_status();
    const bool is_none =
        status == 0 && error.code() == ErrorCode::data_loss && error.error_class() == ErrorClass::server;
    const bool is_refusal = !error.retryable() && (status == 501 || (status >= 400 && status < 500));
    if (error.error_class() == ErrorClass::auth || (!is_none && !is_refusal)) throw;
    if (error.provider_code() == "NoSuchKey") return {};
    learnt.tags = State::counted;
    if (error.error_class() == ErrorClass::permission) {
      context.log(LogLevel::warning, error.message() +
                                         "; if objects have tags, they are copied without them. tags=false "
                                         "in the source's URL says that this is meant");
    }
    return {};
  }
}

// One asks and the others wait for what it finds out: a read that went on without would lose the tags of its object.
std::optional<Tags> ask_if_unknown(Client& client, const std::string& key, const std::string& version,
                                   Context& context) {
  Learnt& learnt = client.learnt();
  std::unique_lock lock(learnt.tags_being_asked, std::defer_lock);
  while (learnt.tags == State::unknown) {
    if (lock.owns_lock()) return ask(client, key, version, context);
    if (!lock.try_lock_for(std::chrono::milliseconds(200))) context.check();
  }
  return std::nullopt;
}

}  // namespace

Error with_hint(const Error& error, std::string_view hint) {
  Error hinted(error.code(), error.error_class(), error.message() + "; " + std::string(hint));
  hinted.set_retryable(error.retryable())
      .set_http_status(error.http_status())
      .set_provider_code(error.provider_code())
      .set_request_id(error.request_id());
  if (error.retry_after()) hinted.set_retry_after(*error.retry_after());
  return hinted;
}

Tags read_tags(Client& client, const std::string& key, const std::string& version, const internal::HttpResponse& response,
               Context& context) {
  if (!client.config().tags) return {};
  const std::string_view said = response.header("x-amz-tagging-count");
  const bool has_tags = !said.empty() && internal::parse_uint(said).value_or(1) > 0;
  if (!has_tags) {
    const bool is_open = said.empty() && !client.config().anonymous;
    if (is_open && client.learnt().tags == State::unknown) {
      if (std::optional<Tags> tags = ask_if_unknown(client, key, version, context)) return std::move(*tags);
    }
    if (client.learnt().tags != State::uncounted) return {};
  }
  try {
    return get_tags(client, key, version, context);
  } catch (const Error& error) {
    const bool is_final = error.error_class() == ErrorClass::permission || error.http_status() == 501;
    if (is_final) throw with_hint(error, "tags=false in the source's URL copies objects without their tags");
    throw;
  }
}

}  // namespace waybill::s3

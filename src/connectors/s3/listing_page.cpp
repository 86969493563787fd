// SPDX-License-Identifier: Apache-2.0
//
// See listing_page.hpp.
#include "connectors/s3/listing_page.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "base/uri.hpp"

namespace waybill::s3 {
namespace {

using Version = Learnt::ListVersion;
using Plus = Learnt::Plus;

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// One request, without what can be concluded from its answer.
class Fetcher {
 public:
  Fetcher(Client& client, Context& context) : client_(client), context_(context) {}

  Client::Request request(const PageQuestion& question, Version version) const {
    std::vector<Client::Parameter> parameters = {{"encoding-type", "url"}};
    if (question.of_versions)
      add_versions(question, parameters);
    else
      add_position(question, version, parameters);
    if (question.max_keys > 0) parameters.emplace_back("max-keys", std::to_string(question.max_keys));
    if (!question.prefix.empty()) parameters.emplace_back("prefix", question.prefix);
    Client::Request request{.method = "GET", .query = aws::canonical_query(parameters)};
    // Which of the archived ones can be read just now. Other stores are not asked: some refuse what they do not know.
    if (client_.config().is_aws) request.headers.emplace_back("x-amz-optional-object-attributes", "RestoreStatus");
    return request;
  }

  static void add_versions(const PageQuestion& question, std::vector<Client::Parameter>& parameters) {
    parameters.emplace_back("versions", "");
    if (question.position != nullptr) {
      parameters.emplace_back("key-marker", question.position->text);
      if (!question.position->version.empty()) parameters.emplace_back("version-id-marker", question.position->version);
    } else if (!question.after.empty()) {
      parameters.emplace_back("key-marker", question.after);
    }
  }

  static void add_position(const PageQuestion& question, Version version, std::vector<Client::Parameter>& parameters) {
    if (version == Version::two) parameters.emplace_back("list-type", "2");
    if (question.position != nullptr) {
      parameters.emplace_back(version == Version::two ? "continuation-token" : "marker", question.position->text);
    } else if (!question.after.empty()) {
      parameters.emplace_back(version == Version::two ? "start-after" : "marker", question.after);
    }
  }

  ListedPage parse(internal::HttpResponse& response, bool of_versions) const {
    try {
      if (of_versions && contains(response.text, "<ListBucketResult")) {
        throw Error(ErrorCode::unimplemented, ErrorClass::configuration,
                    "the store does not list versions; without versions=true in the URL the latest ones are moved");
      }
      ListedPage listed = of_versions ? parse_versions(response.text) : parse_list(response.text);
      if (!listed.is_url_encoded) client_.learnt().lists_plain_keys = true;
      const bool is_weak = std::any_of(listed.objects.begin(), listed.objects.end(),
                                       [](const ListedObject& object) { return object.has_weak_etag; });
      if (is_weak) client_.learnt().has_weak_etags = true;
      return listed;
    } catch (Error& error) {
      error.prepend(client_.config().shown());
      throw;
    }
  }

  ListedPage fetch(const PageQuestion& question, Version version) const {
    internal::HttpResponse response = client_.call(request(question, version), context_);
    return parse(response, question.of_versions);
  }

 private:
  Client& client_;
  Context& context_;
};

// Whether an answer may mean that a store does not know version 2.
bool refuses_version_two(const internal::HttpResponse& response) {
  if (response.status == 501) return true;
  if (response.status != 400) return false;
  const std::string code = parse_error(response.text).code;
  return code.empty() || code == "NotImplemented" || code == "InvalidArgument" || code == "InvalidRequest";
}

void learn_version_one(Client& client, Context& context) {
  if (client.learnt().list_version.exchange(Version::one) == Version::one) return;
  context.log(LogLevel::info, client.config().shown() + ": the store lists by version 1 only");
}

// The first page of a listing of a store whose version is not known.
ListedPage ask_first(Client& client, const Fetcher& fetcher, const PageQuestion& question, Version& version,
                     Context& context) {
  const Client::Request request = fetcher.request(question, Version::two);
  internal::HttpResponse response = client.send(request, context);
  version = Version::one;
  if (response.status < 200 || response.status > 299) {
    if (!refuses_version_two(response)) throw client.error(request, response);
    const Error refusal = client.error(request, response);
    try {
      ListedPage listed = fetcher.fetch(question, Version::one);
      learn_version_one(client, context);
      return listed;
    } catch (const Error& error) {
      // It was not the version.
      if (error.http_status() == refusal.http_status()) throw refusal;
      throw;
    }
  }
  ListedPage listed = fetcher.parse(response, false);
  const bool is_mute = listed.is_truncated && !listed.is_v2 && !listed.objects.empty();
  if (!listed.is_v1 && !is_mute) {
    version = Version::two;
    if (listed.is_v2) client.learnt().list_version = Version::two;
    return listed;
  }
  // It did not look at start-after.
  if (!question.after.empty()) listed = fetcher.fetch(question, Version::one);
  learn_version_one(client, context);
  return listed;
}

std::string plus_as_space(std::string key) {
  std::replace(key.begin(), key.end(), '+', ' ');
  return key;
}

// Whether the store lists something exactly as `encoded` when it is asked about `key`.
bool shows(const Fetcher& fetcher, const std::string& key, const std::string& encoded, Version version, bool of_versions) {
  const PageQuestion question{key, "", nullptr, 1, of_versions};
  const ListedPage listed = fetcher.fetch(question, version);
  return !listed.objects.empty() && listed.objects.front().key == encoded;
}

Plus find_plus(const Client& client, const Fetcher& fetcher, const ListedPage& listed, Version version, bool of_versions) {
  Plus plus = client.learnt().plus;
  if (plus != Plus::unknown) return plus;
  const std::string* open = nullptr;
  for (const ListedObject& object : listed.objects) {
    if (contains(object.key, "%20")) return Plus::itself;
    if (contains(object.key, "%2B") || contains(object.key, "%2b")) plus = Plus::space;
    if (open == nullptr && contains(object.key, "+")) open = &object.key;
  }
  if (plus != Plus::unknown || open == nullptr) return plus;
  const auto as_space = internal::percent_decode(plus_as_space(*open));
  const auto as_itself = internal::percent_decode(*open);
  if (as_space && shows(fetcher, *as_space, *open, version, of_versions)) return Plus::space;
  if (as_itself && shows(fetcher, *as_itself, *open, version, of_versions)) return Plus::itself;
  throw broken_listing(client, "whether '+' in " + quoted(*open) + " is a space cannot be found out");
}

std::string decode(const Client& client, std::string text, Plus plus) {
  if (plus == Plus::space) text = plus_as_space(std::move(text));
  std::optional<std::string> decoded = internal::percent_decode(text);
  if (!decoded) throw broken_listing(client, quoted(text) + " is not the encoded form of a key");
  return std::move(*decoded);
}

std::optional<ListPosition> next_position(const Client& client, const ListedPage& listed, Version version, Plus plus,
                                          bool of_versions) {
  if (!listed.is_truncated) return std::nullopt;
  if (version == Version::two && !listed.next_token.empty()) return ListPosition{listed.next_token, false};
  if (version == Version::one && !listed.next_marker.empty()) {
    return ListPosition{listed.is_url_encoded ? decode(client, listed.next_marker, plus) : listed.next_marker, true,
                        listed.next_version_marker};
  }
  // Without a delimiter, version 1 leaves it to the client to take the last key.
  if (version == Version::one && !of_versions && !listed.objects.empty()) return ListPosition{listed.objects.back().key, true};
  throw broken_listing(client, "a page says that there are more, but not how to ask for them");
}

}  // namespace

Error broken_listing(const Client& client, const std::string& why) {
  return Error(ErrorCode::data_loss, ErrorClass::server,
               client.config().shown() + ": the store's listing cannot be trusted: " + why);
}

std::string quoted(std::string_view key) {
  constexpr size_t longest = 200;
  return "'" + printable(key.substr(0, longest)) + (key.size() > longest ? "…'" : "'");
}

bool has_replacement(std::string_view key) noexcept { return key.find("\xEF\xBF\xBD") != std::string_view::npos; }

PageAnswer ask_page(Client& client, const PageQuestion& question, Context& context) {
  const Fetcher fetcher(client, context);
  Version version = client.learnt().list_version;
  if (question.position != nullptr) version = question.position->is_marker ? Version::one : Version::two;
  if (question.of_versions) version = Version::one;  // its markers are keys
  ListedPage listed = version == Version::unknown ? ask_first(client, fetcher, question, version, context)
                                                  : fetcher.fetch(question, version);
  Plus plus = Plus::unknown;
  if (listed.is_url_encoded) {
    plus = find_plus(client, fetcher, listed, version, question.of_versions);
    if (plus != Plus::unknown) client.learnt().plus = plus;
    for (ListedObject& object : listed.objects) object.key = decode(client, std::move(object.key), plus);
  }
  PageAnswer answer;
  answer.is_url_encoded = listed.is_url_encoded;
  answer.next = next_position(client, listed, version, plus, question.of_versions);
  if (answer.next && answer.next->is_marker && !listed.is_url_encoded && has_replacement(answer.next->text)) {
    throw broken_listing(client, "it goes on after " + quoted(answer.next->text) +
                                     ", in which it has replaced a character: it ignores encoding-type=url");
  }
  answer.objects = std::move(listed.objects);
  return answer;
}

}  // namespace waybill::s3

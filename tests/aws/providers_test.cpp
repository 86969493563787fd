// SPDX-License-Identifier: Apache-2.0
//
// The places of the chain beyond environment and keys, against servers on loopback and real processes.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <future>
#include <map>
#include <thread>

#include "aws/aws_environment.hpp"
#include "aws/credentials.hpp"
#include "aws/profiles.hpp"
#include "aws/providers.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/s3_scripted_server.hpp"
#include "support/test_context.hpp"

namespace waybill::aws {
namespace {

using std::chrono::milliseconds;
using testing::CleanAwsEnvironment;
using testing::ScriptedAnswer;
using testing::ScriptedRequest;
using testing::ScriptedServer;
using testing::TestContext;

constexpr const char* canary = "SECRETCANARY";
constexpr const char* expiration = "2031-05-06T07:08:09Z";

std::string json(const std::string& key, const char* token_name) {
  return std::string("{\"Code\":\"Success\",\"Version\":1,\"AccessKeyId\":\"") + key + "\",\"SecretAccessKey\":\"" +
         canary + "\",\"" + token_name + "\":\"tok/en+=\",\"Expiration\":\"" + expiration + "\"}";
}

ScriptedAnswer sts_answer(const std::string& action, const std::string& key) {
  return {200, "Content-Type: text/xml\r\n",
          "<" + action + "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" + action +
              "Result><Credentials><AccessKeyId>" + key + "</AccessKeyId><SecretAccessKey>" + canary +
              "</SecretAccessKey><SessionToken>tok/en+=</SessionToken><Expiration>" + expiration +
              "</Expiration></Credentials></" + action + "Result></" + action + "Response>"};
}

ScriptedAnswer sts_error(int status, const std::string& code) {
  return {status, "",
          "<ErrorResponse><Error><Type>Sender</Type><Code>" + code +
              "</Code><Message>not you</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"};
}

std::map<std::string, std::string> form_of(const std::string& body) {
  std::map<std::string, std::string> form;
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('&', at), body.size());
    const size_t equals = body.find('=', at);
    form[*internal::percent_decode(body.substr(at, equals - at))] =
        *internal::percent_decode(body.substr(equals + 1, end - equals - 1));
    at = end + 1;
  }
  return form;
}

class Providers : public CleanAwsEnvironment {
 protected:
  void serve(ScriptedServer::Answer answer, const char* variable, const std::string& path = "") {
    server_ = std::make_unique<ScriptedServer>(std::move(answer));
    setenv(variable, ("http://127.0.0.1:" + std::to_string(server_->port()) + path).c_str(), 1);
  }
  Credentials load(std::string_view profile = {}) { return load_credentials(profile, context_); }
  Error failure(std::string_view profile = {}) {
    try {
      load(profile);
    } catch (const Error& error) {
      EXPECT_EQ(error.message().find(canary), std::string::npos) << error.what();
      EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.what();
      return error;
    }
    ADD_FAILURE() << "no error was thrown";
    return Error(ErrorCode::ok, ErrorClass::none, "");
  }
  void expect_complete(const Credentials& credentials, const std::string& key) const {
    EXPECT_EQ(credentials.access_key_id, key);
    EXPECT_EQ(credentials.secret_access_key.reveal(), canary);
    EXPECT_EQ(credentials.session_token.reveal(), "tok/en+=");
    EXPECT_EQ(credentials.expires_ms, internal::parse_rfc3339(expiration));
  }
  /// A program of the test's folder; the whole command for a profile.
  std::string program(const char* name, const std::string& script) const {
    const std::string path = directory_ + "/" + name;
    write(name, "#!/bin/sh\n" + script);
    chmod(path.c_str(), 0700);
    return path;
  }

  TestContext context_;
  std::unique_ptr<ScriptedServer> server_;
};

TEST_F(Providers, WebIdentityIsExchangedWithoutASignature) {
  serve([](const ScriptedRequest&) { return sts_answer("AssumeRoleWithWebIdentity", "ASIAWEB"); },
        "AWS_ENDPOINT_URL_STS");
  write("token", "tok.en-1\n");
  setenv("AWS_WEB_IDENTITY_TOKEN_FILE", (directory_ + "/token").c_str(), 1);
  EXPECT_NE(failure().message().find("AWS_ROLE_ARN"), std::string::npos);
  setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/a+b", 1);
  setenv("AWS_ROLE_SESSION_NAME", "pod-7", 1);
  expect_complete(load(), "ASIAWEB");
  const ScriptedRequest request = server_->requests().at(0);
  EXPECT_EQ(request.method + " " + request.target, "POST /");
  EXPECT_EQ(request.header("authorization"), "");
  auto form = form_of(request.body);
  EXPECT_EQ(form["Action"], "AssumeRoleWithWebIdentity");
  EXPECT_EQ(form["Version"], "2011-06-15");
  EXPECT_EQ(form["WebIdentityToken"], "tok.en-1");
  EXPECT_EQ(form["RoleArn"], "arn:aws:iam::123456789012:role/a+b");
  EXPECT_EQ(form["RoleSessionName"], "pod-7");

  // The token is replaced in its file before it comes to its end.
  write("token", "tok.en-2");
  unsetenv("AWS_ROLE_SESSION_NAME");
  load();
  EXPECT_EQ(form_of(server_->requests().at(1).body)["WebIdentityToken"], "tok.en-2");
  EXPECT_TRUE(form_of(server_->requests().at(1).body)["RoleSessionName"].starts_with("waybill-"));

  setenv("AWS_WEB_IDENTITY_TOKEN_FILE", (directory_ + "/none").c_str(), 1);
  EXPECT_NE(failure().message().find("no token in"), std::string::npos);
  // Keys in the environment come before it.
  setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
  EXPECT_EQ(load().access_key_id, "ENV");
}

TEST_F(Providers, StsIsAskedAgainOnlyWhereThatHelps) {
  int calls = 0;
  std::vector<ScriptedAnswer> answers;
  serve([&](const ScriptedRequest&) { return answers.at(static_cast<size_t>(calls++)); }, "AWS_ENDPOINT_URL_STS");
  write("token", canary);
  setenv("AWS_WEB_IDENTITY_TOKEN_FILE", (directory_ + "/token").c_str(), 1);
  setenv("AWS_ROLE_ARN", "arn:role", 1);

  answers = {sts_error(500, "InternalFailure"), sts_error(400, "IDPCommunicationError"),
             sts_answer("AssumeRoleWithWebIdentity", "ASIA3")};
  EXPECT_EQ(load().access_key_id, "ASIA3");

  calls = 0;
  answers = {sts_error(400, "ExpiredTokenException")};
  const Error expired = failure();
  EXPECT_EQ(expired.error_class(), ErrorClass::auth);
  EXPECT_EQ(expired.provider_code(), "ExpiredTokenException");
  EXPECT_NE(expired.message().find("web identity"), std::string::npos) << expired.message();
  EXPECT_NE(expired.message().find("answered 400 ExpiredTokenException: not you"), std::string::npos);
  EXPECT_EQ(calls, 1);

  calls = 0;
  answers.assign(3, sts_error(503, "Unavailable"));
  const Error down = failure();
  EXPECT_EQ(down.error_class(), ErrorClass::server);
  EXPECT_TRUE(down.retryable());
  EXPECT_EQ(calls, 3);

  calls = 0;
  answers = {{200, "", std::string("<html>") + canary + "</html>"}};
  EXPECT_EQ(failure().error_class(), ErrorClass::auth);
}

// A token that says who one is goes to nobody in the clear.
TEST_F(Providers, StsInTheClearIsRefusedBeyondThisMachine) {
  write("token", canary);
  setenv("AWS_WEB_IDENTITY_TOKEN_FILE", (directory_ + "/token").c_str(), 1);
  setenv("AWS_ROLE_ARN", "arn:role", 1);
  for (const char* url : {"http://sts.example", "ftp://127.0.0.1", "http://127.0.0.1@sts.example/", "sts.example",
                          "http://127.0.0.1.example", "https://sts.example/?x"}) {
    setenv("AWS_ENDPOINT_URL_STS", url, 1);
    const Error error = failure();
    EXPECT_EQ(error.error_class(), ErrorClass::configuration) << url;
    EXPECT_NE(error.message().find("AWS_ENDPOINT_URL_STS"), std::string::npos);
  }
}

TEST_F(Providers, ARoleIsAssumedWithTheKeysOfItsSource) {
  serve([](const ScriptedRequest&) { return sts_answer("AssumeRole", "ASIAROLE"); }, "AWS_ENDPOINT_URL_STS");
  write("credentials", std::string("[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = ") + canary + "\n");
  write("config",
        "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nregion = eu-central-1\n"
        "role_session_name = me\nexternal_id = e x\nduration_seconds = 900\n");
  expect_complete(load("role"), "ASIAROLE");
  const ScriptedRequest request = server_->requests().at(0);
  const std::string authorization = request.header("authorization");
  EXPECT_TRUE(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIABASE/")) << authorization;
  EXPECT_NE(authorization.find("/eu-central-1/sts/aws4_request"), std::string::npos) << authorization;
  auto form = form_of(request.body);
  EXPECT_EQ(form["RoleArn"], "arn:aws:iam::1:role/r");
  EXPECT_EQ(form["RoleSessionName"], "me");
  EXPECT_EQ(form["ExternalId"], "e x");
  EXPECT_EQ(form["DurationSeconds"], "900");
}

TEST_F(Providers, RolesAreChainedAndMayBeginAnywhere) {
  int calls = 0;
  serve(
      [&](const ScriptedRequest& request) {
        ++calls;
        const bool is_second = request.header("authorization").find("Credential=ASIAINNER/") != std::string::npos;
        return sts_answer("AssumeRole", is_second ? "ASIAOUTER" : "ASIAINNER");
      },
      "AWS_ENDPOINT_URL_STS");
  const std::string process = program("process", "echo '" + json("ASIAPROC", "SessionToken") + "'\n");
  write("config",
        "[profile outer]\nrole_arn = arn:outer\nsource_profile = inner\n"
        "[profile inner]\nrole_arn = arn:inner\nsource_profile = process\n"
        "[profile process]\ncredential_process = " +
            process +
            "\n"
            "[profile own]\nrole_arn = arn:own\nsource_profile = own\naws_access_key_id = AKIAOWN\n"
            "aws_secret_access_key = s\n"
            "[profile environment]\nrole_arn = arn:e\ncredential_source = Environment\n"
            "[profile loop]\nrole_arn = arn:a\nsource_profile = pool\n"
            "[profile pool]\nrole_arn = arn:b\nsource_profile = loop\n"
            "[profile self]\nrole_arn = arn:a\nsource_profile = self\n"
            "[profile neither]\nrole_arn = arn:a\n"
            "[profile both]\nrole_arn = arn:a\nsource_profile = own\ncredential_source = Environment\n"
            "[profile nobody]\nrole_arn = arn:a\nsource_profile = absent\n"
            "[profile odd]\nrole_arn = arn:a\ncredential_source = Dice\n"
            "[profile code]\nrole_arn = arn:a\nsource_profile = own\nmfa_serial = arn:mfa\n");
  EXPECT_EQ(load("outer").access_key_id, "ASIAOUTER");
  EXPECT_EQ(calls, 2);
  EXPECT_NE(server_->requests().at(0).header("authorization").find("Credential=ASIAPROC/"), std::string::npos);
  EXPECT_EQ(server_->requests().at(0).header("x-amz-security-token"), "tok/en+=");
  EXPECT_EQ(load("own").access_key_id, "ASIAINNER");
  EXPECT_NE(server_->requests().at(2).header("authorization").find("Credential=AKIAOWN/"), std::string::npos);
  EXPECT_NE(failure("environment").message().find("AWS_ACCESS_KEY_ID is not set"), std::string::npos);
  setenv("AWS_ACCESS_KEY_ID", "AKIAENV", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
  EXPECT_EQ(load("environment").access_key_id, "ASIAINNER");
  EXPECT_NE(server_->requests().at(3).header("authorization").find("Credential=AKIAENV/"), std::string::npos);
  EXPECT_NE(failure("loop").message().find("circle"), std::string::npos);
  EXPECT_NE(failure("self").message().find("no credentials"), std::string::npos);
  EXPECT_NE(failure("neither").message().find("neither"), std::string::npos);
  EXPECT_NE(failure("both").message().find("both"), std::string::npos);
  EXPECT_NE(failure("nobody").message().find("'absent'"), std::string::npos);
  EXPECT_NE(failure("odd").message().find("Dice"), std::string::npos);
  EXPECT_NE(failure("code").message().find("one-time code"), std::string::npos);
  EXPECT_EQ(calls, 4) << "what is wrong is said without asking";
}

TEST_F(Providers, ARoleByWebIdentityInAProfile) {
  serve([](const ScriptedRequest&) { return sts_answer("AssumeRoleWithWebIdentity", "ASIAWEB"); },
        "AWS_ENDPOINT_URL_STS");
  write("token", "t");
  write("config", "[profile web]\nrole_arn = arn:web\nweb_identity_token_file = " + directory_ +
                      "/token\n[profile half]\nweb_identity_token_file = " + directory_ + "/token\n");
  EXPECT_EQ(load("web").access_key_id, "ASIAWEB");
  EXPECT_EQ(form_of(server_->requests().at(0).body)["RoleArn"], "arn:web");
  EXPECT_NE(failure("half").message().find("no role_arn"), std::string::npos);
}

// As with requests to S3, in both directions.
TEST_F(Providers, StsMayHaveAnotherClock) {
  write("config",
        "[profile role]\nrole_arn = arn:r\nsource_profile = role\naws_access_key_id = A\n"
        "aws_secret_access_key = s\n");
  for (const int64_t off : {3 * 3600, -3 * 3600}) {
    serve(
        [off](const ScriptedRequest& request) {
          const int64_t now = internal::now_ms() / 1000 + off;
          const bool is_right =
              request.header("x-amz-date").substr(0, 11) == internal::format_iso8601_basic(now).substr(0, 11);
          ScriptedAnswer answer = is_right ? sts_answer("AssumeRole", "ASIA") : sts_error(403, "SignatureDoesNotMatch");
          answer.headers += "Date: " + internal::format_http_date(now) + "\r\n";
          return answer;
        },
        "AWS_ENDPOINT_URL_STS");
    EXPECT_EQ(load("role").access_key_id, "ASIA");
    EXPECT_EQ(server_->requests().size(), 2U);
  }
}

TEST_F(Providers, AProcessIsRunWithoutAShell) {
  const std::string path = program("a process",
                                   "[ \"$1\" = 'a $HOME; b' ] && [ \"$2\" = '' ] && [ \"$#\" = 2 ] || exit 9\n"
                                   "echo '" +
                                       json("ASIAPROC", "SessionToken") +
                                       "'\n"
                                       "echo " +
                                       canary + " >&2\n");
  write("config", "[profile p]\ncredential_process = \"" + path + "\" 'a $HOME; b' \"\"\n");
  expect_complete(load("p"), "ASIAPROC");
  EXPECT_EQ(load("p").origin, "profile 'p': credential_process");
}

TEST_F(Providers, CommandsAreSplitAsTheShellWould) {
  using Words = std::vector<std::string>;
  const std::map<std::string, Words> cases = {
      {"", {}},
      {"  a\tb \n", {"a", "b"}},
      {R"(a "b c" 'd e' f\ g)", {"a", "b c", "d e", "f g"}},
      {R"("a\"b\\c\d" 'e\f')", {R"(a"b\c\d)", R"(e\f)"}},
      {R"(a"b"'c'd)", {"abcd"}},
      {R"(a '' "")", {"a", "", ""}},
      {R"($X `y` ~ * | ; # &)", {"$X", "`y`", "~", "*", "|", ";", "#", "&"}},
  };
  for (const auto& [line, words] : cases) EXPECT_EQ(split_command(line), words) << line;
  for (const char* line : {"\"a", "'a", "a\\", "a 'b\"", "\"a\\\""}) EXPECT_FALSE(split_command(line)) << line;
}

TEST_F(Providers, AProcessThatFailsIsNamedAndItsOutputIsNot) {
  const auto run = [&](const char* name, const std::string& script) {
    write("config", "[profile p]\ncredential_process = " + program(name, script) + " " + canary + "\n");
    return failure("p");
  };
  const std::string say = std::string("echo ") + canary + "; echo " + canary + " >&2\n";
  EXPECT_NE(run("one", say + "exit 3\n").message().find("/one' ended with exit status 3"), std::string::npos);
  EXPECT_NE(run("two", say + "kill -9 $$\n").message().find("killed by signal 9"), std::string::npos);
  EXPECT_NE(run("three", say).message().find("not a JSON object"), std::string::npos);
  EXPECT_NE(run("four", "echo '{\"AccessKeyId\":\"x\"}'\n").message().find("no AccessKeyId and Secret"),
            std::string::npos);
  EXPECT_EQ(run("five", "").error_class(), ErrorClass::auth);
  EXPECT_EQ(run("six", "yes | head -c 1000000\n").error_class(), ErrorClass::auth);
  write("config", "[profile p]\ncredential_process = /no/such/program\n");
  EXPECT_NE(failure("p").message().find("'/no/such/program' cannot be run"), std::string::npos);
}

TEST_F(Providers, AProcessThatHangsIsStoppedWithAllThatItStarted) {
  const std::string path = program("hangs", "sleep 60 &\necho $! > " + directory_ + "/pid\nwait\n");
  const auto started = std::chrono::steady_clock::now();
  try {
    run_credential_process(path, "a test", milliseconds(500), context_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::timeout);
    EXPECT_NE(error.message().find("gave no answer within 500 ms"), std::string::npos) << error.message();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  pid_t child = 0;
  std::ifstream(directory_ + "/pid") >> child;
  ASSERT_GT(child, 1);
  bool is_gone = false;
  for (int i = 0; i < 500 && !is_gone; ++i) {
    // Nobody may wait for it here, where no init does: a zombie is as good as gone.
    std::string stat;
    std::getline(std::ifstream("/proc/" + std::to_string(child) + "/stat"), stat);
    is_gone = stat.empty() || stat.find(") Z ") != std::string::npos;
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_TRUE(is_gone);

  auto call = std::async(std::launch::async, [&] {
    try {
      run_credential_process(path, "a test", std::chrono::minutes(1), context_);
      return ErrorClass::none;
    } catch (const Error& error) {
      return error.error_class();
    }
  });
  std::this_thread::sleep_for(milliseconds(100));
  context_.cancel();
  ASSERT_EQ(call.wait_for(std::chrono::seconds(1)), std::future_status::ready);
  EXPECT_EQ(call.get(), ErrorClass::cancelled);
}

// What a program leaves running behind it holds its output open; that is not waited for.
TEST_F(Providers, AProcessMayLeaveAnotherBehind) {
  const std::string path = program("leaves", "sleep 5 &\necho '" + json("ASIA", "SessionToken") + "'\n");
  const auto started = std::chrono::steady_clock::now();
  EXPECT_EQ(run_credential_process(path, "a test", std::chrono::seconds(20), context_).access_key_id, "ASIA");
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(4));
}

TEST_F(Providers, ThreadsThatBlockSignalsDoNotPassThatOn) {
  const std::string path = program("mask", "kill -TERM $$\nsleep 5\n");
  auto call = std::async(std::launch::async, [&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    try {
      run_credential_process(path, "a test", std::chrono::seconds(20), context_);
      return std::string();
    } catch (const Error& error) {
      return error.message();
    }
  });
  EXPECT_NE(call.get().find("signal 15"), std::string::npos);
}

TEST_F(Providers, ContainersAreAskedWithTheirToken) {
  serve(
      [](const ScriptedRequest&) {
        return ScriptedAnswer{200, "", json("ASIACONT", "Token")};
      },
      "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/creds?id=7");
  setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "plain", 1);
  expect_complete(load(), "ASIACONT");
  EXPECT_EQ(server_->requests().at(0).method + server_->requests().at(0).target, "GET/creds?id=7");
  EXPECT_EQ(server_->requests().at(0).header("authorization"), "plain");
  EXPECT_EQ(load().origin.find("id=7"), std::string::npos);
  write("authorization", "first\n");
  setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", (directory_ + "/authorization").c_str(), 1);
  load();
  EXPECT_EQ(server_->requests().at(2).header("authorization"), "first");
  write("authorization", "second");
  load();
  EXPECT_EQ(server_->requests().at(3).header("authorization"), "second") << "read each time";
  write("authorization", "a\r\nX-Evil: 1");
  EXPECT_NE(failure().message().find("line break"), std::string::npos);
  setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", (directory_ + "/none").c_str(), 1);
  EXPECT_NE(failure().message().find("no token in"), std::string::npos);
}

TEST_F(Providers, ContainersThatFailEndTheSearch) {
  int calls = 0;
  std::vector<ScriptedAnswer> answers;
  serve([&](const ScriptedRequest&) { return answers.at(static_cast<size_t>(calls++)); },
        "AWS_CONTAINER_CREDENTIALS_FULL_URI");
  answers = {{500, "", ""}, {200, "", json("ASIA", "Token")}};
  EXPECT_EQ(load().access_key_id, "ASIA");
  calls = 0;
  answers = {{403, "", canary}};
  const Error refused = failure();
  EXPECT_EQ(refused.error_class(), ErrorClass::auth);
  EXPECT_NE(refused.message().find("answered 403"), std::string::npos) << refused.message();
  calls = 0;
  answers.assign(3, {500, "", canary});
  EXPECT_TRUE(failure().retryable());
  EXPECT_EQ(calls, 3);
  calls = 0;
  answers = {{200, "", canary}};
  EXPECT_EQ(failure().error_class(), ErrorClass::auth);
}

TEST_F(Providers, ContainersInTheClearAreOnThisMachine) {
  for (const char* url : {"http://example.com/x", "http://169.254.170.3/x", "http://127.0.0.1@example.com/x",
                          "http://169.254.170.2.example.com", "file:///etc/passwd", "http://[2001:db8::1]/",
                          "http://example.com\\@127.0.0.1/", "x"}) {
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", canary, 1);
    const Error error = failure();
    EXPECT_EQ(error.error_class(), ErrorClass::configuration) << url;
    EXPECT_NE(error.message().find("AWS_CONTAINER_CREDENTIALS_FULL_URI"), std::string::npos);
  }
  setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/", 1);
  EXPECT_NE(failure().message().find("begin with '/'"), std::string::npos);
}

/// A metadata service: token, role, credentials.
ScriptedAnswer instance(const ScriptedRequest& request) {
  if (request.target == "/latest/api/token") {
    const bool is_asked_right =
        request.method == "PUT" && request.header("x-aws-ec2-metadata-token-ttl-seconds") == "21600";
    return is_asked_right ? ScriptedAnswer{200, "", "session"} : ScriptedAnswer{400, "", ""};
  }
  if (request.header("x-aws-ec2-metadata-token") != "session") return {401, "", ""};
  if (request.target == "/latest/meta-data/iam/security-credentials/") return {200, "", "my-role\n"};
  if (request.target == "/latest/meta-data/iam/security-credentials/my-role")
    return {200, "", json("ASIAEC2", "Token")};
  return {404, "", ""};
}

TEST_F(Providers, InstancesAreAskedWithASession) {
  serve(instance, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "/");
  EXPECT_NE(failure().message().find("AWS_EC2_METADATA_DISABLED is set"), std::string::npos);
  EXPECT_EQ(server_->requests().size(), 0U);
  unsetenv("AWS_EC2_METADATA_DISABLED");
  expect_complete(load(), "ASIAEC2");
  EXPECT_EQ(server_->requests().size(), 3U);
  EXPECT_EQ(load().origin, "the instance's role my-role");
}

TEST_F(Providers, InstancesWithoutARoleOrASessionGiveNothing) {
  unsetenv("AWS_EC2_METADATA_DISABLED");
  serve(
      [](const ScriptedRequest& request) {
        return request.method == "PUT" ? instance(request) : ScriptedAnswer{404, "", ""};
      },
      "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  EXPECT_NE(failure().message().find("the instance has no role"), std::string::npos);
  // Only the older version without sessions: not used, since requests can be forged.
  serve(
      [](const ScriptedRequest& request) {
        return request.method == "PUT" ? ScriptedAnswer{403, "", ""}
                                       : ScriptedAnswer{200, "", json("ASIAOLD", "Token")};
      },
      "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  EXPECT_NE(failure().message().find("no session token but status 403"), std::string::npos);
  EXPECT_EQ(server_->requests().size(), 1U);
  serve(
      [](const ScriptedRequest& request) {
        if (request.target.ends_with("/my-role")) return ScriptedAnswer{500, "", ""};
        return instance(request);
      },
      "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  EXPECT_TRUE(failure().retryable()) << "it is there: an error, and one that passes";
}

TEST_F(Providers, NoMetadataServiceIsFoundOutInTime) {
  unsetenv("AWS_EC2_METADATA_DISABLED");
  const auto timed_failure = [&] {
    const auto started = std::chrono::steady_clock::now();
    const Error error = failure();
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(2));
    return error;
  };
  serve([](const ScriptedRequest&) { return ScriptedAnswer{0, "", ""}; }, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  const Error silent = timed_failure();
  EXPECT_EQ(silent.error_class(), ErrorClass::auth);
  EXPECT_NE(silent.message().find("does not answer"), std::string::npos) << silent.message();
  server_.reset();  // a port that nobody listens on
  EXPECT_NE(timed_failure().message().find("does not answer"), std::string::npos);
}

TEST_F(Providers, TheOrderIsThatOfTheSdks) {
  unsetenv("AWS_EC2_METADATA_DISABLED");
  ScriptedServer metadata(instance);
  setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", ("http://127.0.0.1:" + std::to_string(metadata.port())).c_str(), 1);
  EXPECT_EQ(load().access_key_id, "ASIAEC2");
  ScriptedServer container([](const ScriptedRequest&) { return ScriptedAnswer{200, "", json("ASIACONT", "Token")}; });
  setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", ("http://127.0.0.1:" + std::to_string(container.port())).c_str(), 1);
  EXPECT_EQ(load().access_key_id, "ASIACONT");
  write("credentials", "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = s\n");
  EXPECT_EQ(load().access_key_id, "AKIAFILE");
  serve([](const ScriptedRequest&) { return sts_answer("AssumeRoleWithWebIdentity", "ASIAWEB"); },
        "AWS_ENDPOINT_URL_STS");
  write("token", "t");
  setenv("AWS_WEB_IDENTITY_TOKEN_FILE", (directory_ + "/token").c_str(), 1);
  setenv("AWS_ROLE_ARN", "arn:role", 1);
  EXPECT_EQ(load().access_key_id, "ASIAWEB");
  setenv("AWS_ACCESS_KEY_ID", "AKIAENV", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
  EXPECT_EQ(load().access_key_id, "AKIAENV");
  EXPECT_EQ(load("default").access_key_id, "AKIAFILE") << "a profile in the URL goes past all others";
}

TEST_F(Providers, CancellationEndsEveryPlace) {
  const auto ends = [&](const char* what) {
    TestContext context;
    auto call = std::async(std::launch::async, [&] {
      try {
        load_credentials({}, context);
        return ErrorClass::none;
      } catch (const Error& error) {
        return error.error_class();
      }
    });
    std::this_thread::sleep_for(milliseconds(100));
    context.cancel();
    ASSERT_EQ(call.wait_for(std::chrono::seconds(1)), std::future_status::ready) << what;
    EXPECT_EQ(call.get(), ErrorClass::cancelled) << what;
  };
  const auto silent = [](const ScriptedRequest&) { return ScriptedAnswer{0, "", ""}; };
  unsetenv("AWS_EC2_METADATA_DISABLED");
  serve(silent, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  ends("instance");
  serve(silent, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
  ends("container");
  serve(silent, "AWS_ENDPOINT_URL_STS");
  write("token", "t");
  setenv("AWS_WEB_IDENTITY_TOKEN_FILE", (directory_ + "/token").c_str(), 1);
  setenv("AWS_ROLE_ARN", "arn:role", 1);
  ends("web identity");
}

}  // namespace
}  // namespace waybill::aws

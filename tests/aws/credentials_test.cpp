// SPDX-License-Identifier: Apache-2.0
//
// The chain of places that credentials come from, against files and variables that each test makes.
#include "aws/credentials.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <type_traits>

#include "waybill/error.hpp"

namespace waybill::aws {
namespace {

constexpr const char* canary = "SECRETCANARY";

template <typename T, typename = void>
struct is_printable_type : std::false_type {};
template <typename T>
struct is_printable_type<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<const T&>())>>
    : std::true_type {};
static_assert(!is_printable_type<Secret>::value);
static_assert(!std::is_convertible_v<Secret, std::string> && !std::is_convertible_v<Secret, std::string_view>);

class CredentialsChain : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/waybill-credentials-XXXXXX";
    directory_ = mkdtemp(pattern);
    for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
                             "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CREDENTIAL_EXPIRATION"}) {
      unsetenv(name);
    }
    setenv("AWS_SHARED_CREDENTIALS_FILE", (directory_ + "/credentials").c_str(), 1);
    setenv("AWS_CONFIG_FILE", (directory_ + "/config").c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write(const char* name, std::string_view text) const { std::ofstream(directory_ + "/" + name) << text; }

  /// The Error of loading `profile`; its message never holds a value from a file.
  Error failure(std::string_view profile = {}) const {
    try {
      load_credentials(profile);
    } catch (const Error& error) {
      EXPECT_EQ(error.message().find(canary), std::string::npos) << error.what();
      return error;
    }
    ADD_FAILURE() << "no error was thrown";
    return Error(ErrorCode::ok, ErrorClass::none, "");
  }

  std::string directory_;
};

TEST_F(CredentialsChain, TakesTheEnvironmentFirst) {
  write("credentials", "[default]\naws_access_key_id = FILE\naws_secret_access_key = filesecret\n");
  setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1);
  setenv("AWS_SESSION_TOKEN", "token", 1);
  const Credentials credentials = load_credentials();
  EXPECT_EQ(credentials.access_key_id, "ENV");
  EXPECT_EQ(credentials.secret_access_key.reveal(), "envsecret");
  EXPECT_EQ(credentials.session_token.reveal(), "token");
  EXPECT_EQ(credentials.origin, "the environment");
}

TEST_F(CredentialsChain, AnExplicitProfileGoesPastTheEnvironment) {
  write("credentials", "[work]\naws_access_key_id = FILE\naws_secret_access_key = filesecret\n");
  setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1);
  EXPECT_EQ(load_credentials("work").access_key_id, "FILE");
  EXPECT_EQ(load_credentials().access_key_id, "ENV");
}

TEST_F(CredentialsChain, ReadsProfileFilesOfAllShapes) {
  write("credentials",
        "\xef\xbb\xbf# comment\r\n"
        "[default]\r\n"
        "aws_access_key_id=DEFAULT\r\n"
        "aws_secret_access_key = a/b+c==\r\n"
        "[ spaced name ]\n"
        "  aws_access_key_id = INDENTED\n"
        "AWS_ACCESS_KEY_ID = UPPER # a comment\n"
        "aws_secret_access_key = x#y;z\n"
        "aws_session_token = t\n"
        "no equals sign\n"
        "[default]\n"
        "aws_access_key_id = AGAIN");
  write("config",
        "[default]\nregion = eu-west-1\n"
        "[profile \"conf only\"]\naws_access_key_id = CONF\naws_secret_access_key = s\ns3 =\n  aws_access_key_id = "
        "NESTED\n"
        "[profile spaced name]\nregion = us-west-2\n"
        "[services x]\nregion = wrong\n");
  EXPECT_EQ(load_credentials().access_key_id, "AGAIN");
  EXPECT_EQ(load_credentials().secret_access_key.reveal(), "a/b+c==");
  const Credentials spaced = load_credentials("spaced name");
  EXPECT_EQ(spaced.access_key_id, "UPPER");
  EXPECT_EQ(spaced.secret_access_key.reveal(), "x#y;z");
  EXPECT_EQ(spaced.session_token.reveal(), "t");
  EXPECT_EQ(load_credentials("conf only").access_key_id, "CONF");
  EXPECT_NE(load_credentials("conf only").origin.find("/config"), std::string::npos);
  EXPECT_EQ(load_region(), "eu-west-1");
  EXPECT_EQ(load_region("spaced name"), "us-west-2");
  EXPECT_EQ(load_region("x"), "");
  setenv("AWS_PROFILE", "spaced name", 1);
  EXPECT_EQ(load_credentials().access_key_id, "UPPER");
  EXPECT_EQ(load_region(), "us-west-2");
}

TEST_F(CredentialsChain, TakesKeysAndTokenFromOnePlace) {
  write("credentials", "[default]\naws_access_key_id = NEW\naws_secret_access_key = new\n");
  write("config", "[default]\naws_access_key_id = OLD\naws_secret_access_key = old\naws_session_token = old\n");
  EXPECT_TRUE(load_credentials().session_token.empty());
}

TEST_F(CredentialsChain, RegionOfTheEnvironmentWinsUnlessAProfileIsGiven) {
  write("config", "[default]\nregion = eu-west-1\n[profile p]\nregion = eu-west-2\n[profile q]\n");
  setenv("AWS_DEFAULT_REGION", "us-east-2", 1);
  EXPECT_EQ(load_region(), "us-east-2");
  setenv("AWS_REGION", "us-east-1", 1);
  EXPECT_EQ(load_region(), "us-east-1");
  EXPECT_EQ(load_region("p"), "eu-west-2");
  EXPECT_EQ(load_region("q"), "us-east-1");
}

TEST_F(CredentialsChain, SaysWhereItLooked) {
  const Error error = failure();
  EXPECT_EQ(error.error_class(), ErrorClass::auth);
  EXPECT_FALSE(error.retryable());
  for (const std::string& part : {std::string("AWS_ACCESS_KEY_ID"), std::string("'default'"),
                                  directory_ + "/credentials", directory_ + "/config"}) {
    EXPECT_NE(error.message().find(part), std::string::npos) << error.what();
  }
  EXPECT_EQ(failure("work").message().find("AWS_ACCESS_KEY_ID"), std::string::npos);
}

TEST_F(CredentialsChain, NamesWhatIsIncompleteOrNotSupported) {
  write("credentials", std::string("[half]\naws_secret_access_key = ") + canary + "\n");
  write("config", std::string("[profile sso]\nsso_session = ") + canary +
                      "\n[profile process]\ncredential_process = " + canary + "\n");
  EXPECT_NE(failure("half").message().find("'half' has no complete"), std::string::npos);
  EXPECT_NE(failure("sso").message().find("through sso_session"), std::string::npos);
  EXPECT_NE(failure("process").message().find("through credential_process"), std::string::npos);
  setenv("AWS_SECRET_ACCESS_KEY", canary, 1);
  EXPECT_NE(failure().message().find("only one is set"), std::string::npos);
}

TEST_F(CredentialsChain, SurvivesFilesThatAreNoProfileFiles) {
  write("credentials", std::string("[\n]\n=\n[]\n[a\n= b\nx=\n\0[", 20) + std::string(5000, '['));
  EXPECT_EQ(failure().error_class(), ErrorClass::auth);
  write("credentials", std::string(2 << 20, 'x'));
  EXPECT_EQ(failure().error_class(), ErrorClass::configuration);
  std::filesystem::remove(directory_ + "/credentials");
  std::filesystem::create_directory(directory_ + "/credentials");
  EXPECT_EQ(failure().error_class(), ErrorClass::local_io);
}

TEST_F(CredentialsChain, ReadsAgainWhenTheStoreCallsThemExpired) {
  write("credentials", "[default]\naws_access_key_id = ONE\naws_secret_access_key = s\n");
  CredentialsProvider provider{std::string()};
  const auto first = provider.current();
  EXPECT_EQ(first->access_key_id, "ONE");
  EXPECT_FALSE(provider.refresh(first));  // nothing new there
  write("credentials", "[default]\naws_access_key_id = TWO\naws_secret_access_key = s\n");
  EXPECT_TRUE(provider.refresh(first));
  EXPECT_EQ(provider.current()->access_key_id, "TWO");
  EXPECT_TRUE(provider.refresh(first));  // another thread was faster
  CredentialsProvider fixed(*first);
  EXPECT_FALSE(fixed.refresh(fixed.current()));
}

TEST(Secret, CopiesMovesAndCompares) {
  Secret a("hidden");
  Secret b = a;
  EXPECT_TRUE(a == b);
  const Secret c = std::move(a);
  EXPECT_EQ(c.reveal(), "hidden");
  b = Secret();
  EXPECT_TRUE(b.empty());
  EXPECT_FALSE(b == c);
}

}  // namespace
}  // namespace waybill::aws

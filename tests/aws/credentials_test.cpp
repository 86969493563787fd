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

#include "aws/profiles.hpp"
#include "aws/aws_environment.hpp"
#include "support/test_context.hpp"
#include "waybill/error.hpp"

namespace waybill::aws {
namespace {

using testing::CleanAwsEnvironment;
using testing::TestContext;

constexpr const char* canary = "SECRETCANARY";

template <typename T, typename = void>
struct is_printable_type : std::false_type {};
template <typename T>
struct is_printable_type<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<const T&>())>>
    : std::true_type {};
static_assert(!is_printable_type<Secret>::value);
static_assert(!std::is_convertible_v<Secret, std::string> && !std::is_convertible_v<Secret, std::string_view>);

class CredentialsChain : public CleanAwsEnvironment {
 protected:
  Credentials load_credentials(std::string_view profile = {}) { return aws::load_credentials(profile, context_); }

  /// The Error of loading `profile`; its message never holds a value from a file.
  Error failure(std::string_view profile = {}) {
    try {
      load_credentials(profile);
    } catch (const Error& error) {
      EXPECT_EQ(error.message().find(canary), std::string::npos) << error.what();
      return error;
    }
    ADD_FAILURE() << "no error was thrown";
    return Error(ErrorCode::ok, ErrorClass::none, "");
  }

  TestContext context_;
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
  EXPECT_EQ(error.provider_code(), "NoCredentials");
  for (const std::string& part :
       {std::string("AWS_ACCESS_KEY_ID"), std::string("AWS_WEB_IDENTITY_TOKEN_FILE"), std::string("'default'"),
        directory_ + "/credentials", directory_ + "/config", std::string("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        std::string("AWS_EC2_METADATA_DISABLED")}) {
    EXPECT_NE(error.message().find(part), std::string::npos) << error.what();
  }
  EXPECT_EQ(failure("work").message().find("AWS_ACCESS_KEY_ID"), std::string::npos);
  EXPECT_EQ(error.message().find('\n'), std::string::npos);
}

// A profile that is only there by default is passed over; one that was named is not.
TEST_F(CredentialsChain, AProfileThatWasNamedHasToBeThere) {
  write("config", "[default]\nregion = eu-west-1\n[profile empty]\nregion = eu-west-1\n");
  EXPECT_NE(failure().message().find("profile 'default' has no credentials"), std::string::npos);
  EXPECT_NE(failure().message().find("container ("), std::string::npos);
  EXPECT_NE(failure("empty").message().find("'empty' has no credentials"), std::string::npos);
  EXPECT_EQ(failure("empty").message().find("container"), std::string::npos);
  setenv("AWS_PROFILE", "mistyped", 1);
  EXPECT_NE(failure().message().find("'mistyped' is not in"), std::string::npos);
  EXPECT_EQ(failure().message().find("container"), std::string::npos);
}

TEST_F(CredentialsChain, RefusesWhatWouldBeginAnotherHeader) {
  setenv("AWS_ACCESS_KEY_ID", "KEY", 1);
  setenv("AWS_SECRET_ACCESS_KEY", canary, 1);
  setenv("AWS_SESSION_TOKEN", (std::string(canary) + "\r\nX-Evil: 1").c_str(), 1);
  EXPECT_EQ(failure().error_class(), ErrorClass::auth);
  setenv("AWS_SESSION_TOKEN", "fine", 1);
  EXPECT_EQ(load_credentials().session_token.reveal(), "fine");
}

TEST_F(CredentialsChain, NamesWhatIsIncompleteOrNotSupported) {
  write("credentials", std::string("[half]\naws_secret_access_key = ") + canary + "\n");
  write("config", std::string("[profile sso]\nsso_session = ") + canary +
                      "\n[profile process]\ncredential_process = \"" + canary + "\n");
  EXPECT_NE(failure("half").message().find("'half' has no complete"), std::string::npos);
  EXPECT_NE(failure("sso").message().find("through sso_session"), std::string::npos);
  EXPECT_EQ(failure("process").error_class(), ErrorClass::configuration) << "a quote that is left open";
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
  const auto first = provider.current(context_);
  EXPECT_EQ(first->access_key_id, "ONE");
  write("credentials", "[default]\naws_access_key_id = TWO\naws_secret_access_key = s\n");
  EXPECT_TRUE(provider.refresh(first, context_));
  EXPECT_EQ(provider.current(context_)->access_key_id, "TWO");
  EXPECT_TRUE(provider.refresh(first, context_));  // another thread was faster
  const auto second = provider.current(context_);
  EXPECT_FALSE(provider.refresh(second, context_)) << "nothing new there";
  EXPECT_EQ(provider.current(context_), second);
  CredentialsProvider fixed(*first);
  EXPECT_FALSE(fixed.refresh(fixed.current(context_), context_));
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

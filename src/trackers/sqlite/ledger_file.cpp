// SPDX-License-Identifier: Apache-2.0
//
// See ledger_file.hpp.
#include "trackers/sqlite/ledger_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "waybill/connectors.hpp"
#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

constexpr off_t smallest_page = 512;

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void refuse_network(const std::string& folder, const std::string& path) {
  struct statfs info {};
  if (::statfs(folder.c_str(), &info) != 0) return;  // the opening says what is wrong
  const char* name = network_filesystem(static_cast<int64_t>(info.f_type));
  if (name == nullptr) return;
  throw Error(ErrorCode::failed_precondition, ErrorClass::tracker,
              "the ledger " + path + " would be on a network filesystem (" + name +
                  "), where its locks cannot be trusted; put it on a local disk with --tracker");
}

void check_file(const std::string& path, const struct stat& info) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::tracker, "the ledger " + path + " " + why);
  };
  if (S_ISLNK(info.st_mode)) refuse("is a symbolic link; name the file itself");
  if (S_ISDIR(info.st_mode)) refuse("is a folder; name a file");
  if (!S_ISREG(info.st_mode)) refuse("is not a regular file; name one");
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) refuse("can be written by other users; run chmod 600 on it");
  // SQLite reads what is shorter than its smallest page as an empty database, which would be filled anew.
  if (info.st_size > 0 && info.st_size < smallest_page) {
    throw Error(ErrorCode::data_loss, ErrorClass::tracker,
                "the ledger " + path + " is damaged (it is cut off); restore it from a copy, or start with a new one");
  }
}

/// Whatever the system says of a path, it is the ledger that cannot be used.
Error path_error(int error_number, const std::string& doing, const std::string& path) {
  if (error_number == ENOSPC || error_number == EDQUOT) {
    return Error(ErrorCode::resource_exhausted, ErrorClass::tracker,
                 "the disk of " + path + " is full; free some space on it")
        .set_retryable();
  }
  const Error plain = system_error(error_number, doing + " the ledger " + path);
  return Error(error_number == ENOTDIR ? ErrorCode::invalid_argument : plain.code(), ErrorClass::tracker,
               plain.message() + "; check the folder and its permissions, or name another place with --tracker")
      .set_retryable(plain.retryable())
      .set_provider_code(plain.provider_code());
}

void create_file(const std::string& path, const std::string& folder) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    if (errno == EEXIST) return;  // another process was quicker
    if (errno == ENOENT) {
      throw Error(
          ErrorCode::not_found, ErrorClass::missing,
          "the folder of the ledger " + path + " does not exist; create it, or name another place with --tracker");
    }
    throw path_error(errno, "creating", path);
  }
  ::close(fd);  // nobody can have had it open: it did not exist
  // The ledger must not be lost with its folder's entry.
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  ::fsync(directory);
  ::close(directory);
}

}  // namespace

const char* network_filesystem(int64_t type) noexcept {
  switch (static_cast<uint32_t>(type)) {
    case 0x6969:
      return "NFS";
    case 0x517b:
    case 0xfe534d42:
      return "SMB";
    case 0xff534d42:
      return "CIFS";
    case 0x01021997:
      return "9P";
    case 0x00c36400:
      return "Ceph";
    case 0x0bd00bd0:
      return "Lustre";
    case 0x47504653:
      return "GPFS";
    case 0x5346414f:
    case 0x6b414653:
      return "AFS";
    case 0x19830326:
      return "BeeGFS";
    default:
      return nullptr;
  }
}

std::string ledger_path(std::string_view ledger) {
  if (ledger.starts_with("sqlite://")) return Url::parse(ledger).path;
  if (ledger != "memory:" && ledger.find("://") == std::string_view::npos) return std::string(ledger);
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              printable(ledger) + " is no ledger in a file; a path or sqlite:///path is one");
}

void prepare_ledger_file(const std::string& path, OpenMode mode) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "the ledger's path is empty or has a NUL byte");
  }
  const std::string folder = folder_of(path);
  refuse_network(folder, path);
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return check_file(path, info);
  if (errno != ENOENT) throw path_error(errno, "opening", path);
  if (mode != OpenMode::create) {
    throw Error(ErrorCode::not_found, ErrorClass::missing,
                "there is no ledger at " + path + "; correct the path, or begin with: waybill run --from URL --to URL");
  }
  create_file(path, folder);
}

}  // namespace waybill::internal

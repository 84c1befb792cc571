// Whose turn it is in a lane's region: how a lane says that it no longer wants what it has asked for.
//
// A lane serves one request after another, and counts them in the last 8 bytes of its region's file
// (cliplane/triton/region.py). A call carries the number of its request and the region's name, as Triton's request
// parameters. It is not wanted any more when the region's number is past its own. Nothing is cancelled in gRPC: ADR 11.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <string>

class Turn {
 public:
  // Of a call of which nothing is said: it is always wanted.
  Turn() = default;
  // Of a region that cannot be read, too. Of `region`, the name in /dev/shm.
  Turn(const std::string& region, uint64_t turn) : turn_(turn) {
    if (region.empty() || region.find('/') != std::string::npos) return;
    // Read, not mapped: whatever becomes of the file, a read can only fail.
    file_ = open(("/dev/shm/" + region).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status {};
    if (file_ < 0 || fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) return;
    offset_ = status.st_size - static_cast<off_t>(sizeof turn_);
  }
  ~Turn() {
    if (file_ >= 0) close(file_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  bool is_over() const {
    uint64_t now = 0;
    return offset_ >= 0 && pread(file_, &now, sizeof now, offset_) == sizeof now && now > turn_;
  }

 private:
  int file_ = -1;
  off_t offset_ = -1;
  uint64_t turn_ = 0;
};

// How many CPUs this container may use.
#pragma once

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

// Its affinity, and its cgroup's quota, version 2 or 1.
inline int cpus_allowed() {
  cpu_set_t affinity;
  double cpus = sched_getaffinity(0, sizeof affinity, &affinity) == 0 ? CPU_COUNT(&affinity) : 1;
  std::string quota, period;
  std::ifstream("/sys/fs/cgroup/cpu.max") >> quota >> period;
  if (quota.empty()) {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  if (!quota.empty() && quota != "max" && quota != "-1") cpus = std::min(cpus, std::stod(quota) / std::stod(period));
  return std::max(1, static_cast<int>(std::ceil(cpus)));
}

// Simulates a network that delays and loses packets. `lossy_hub LOSS DELAY_MS INTERFACE...`
// forwards every Ethernet frame from one of the interfaces to all others, DELAY_MS milliseconds
// later. It drops a random share LOSS (0 to 1) of the frames. (The kernel's own tool, `tc netem`,
// needs a module that some kernels lack.) At SIGTERM it prints its counts: "lost 12 of 3456
// frames".
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

volatile sig_atomic_t stopped = 0;

int Fail(const char* what) {
  std::fprintf(stderr, "lossy_hub: %s: %s\n", what, std::strerror(errno));
  return 1;
}

// Opens a socket for all frames of an interface. Returns -1 for an error.
int Open(const char* interface) {
  // With this option, frames carry the sender's requests to the network hardware (checksums,
  // segmentation), and are forwarded with them.
  const int with_offloads = 1;
  const int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (fd < 0) return -1;
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &with_offloads, sizeof(with_offloads)) != 0) {
    return -1;
  }
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  if (address.sll_ifindex == 0) return -1;
  return bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? fd : -1;
}

struct Frame {
  Clock::time_point due;
  size_t from;
  std::string bytes;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "lossy_hub LOSS DELAY_MS INTERFACE INTERFACE...\n");
    return 2;
  }
  std::bernoulli_distribution lost(std::atof(argv[1]));
  const std::chrono::microseconds delay(static_cast<int64_t>(1000 * std::atof(argv[2])));
  std::vector<pollfd> ports;
  for (int i = 3; i < argc; ++i) {
    ports.push_back({Open(argv[i]), POLLIN, 0});
    if (ports.back().fd < 0) return Fail(argv[i]);
  }
  struct sigaction stop = {};
  stop.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGTERM, &stop, nullptr);

  std::mt19937 random(7);
  std::deque<Frame> waiting;
  std::vector<char> buffer(1 << 17);
  int64_t losses = 0, frames = 0;
  while (stopped == 0) {
    // poll() has a resolution of a millisecond.
    poll(ports.data(), ports.size(), waiting.empty() ? 1000 : 1);
    for (size_t from = 0; from < ports.size(); ++from) {
      while (true) {
        sockaddr_ll source = {};
        socklen_t length = sizeof(source);
        const ssize_t n = recvfrom(ports[from].fd, buffer.data(), buffer.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&source), &length);
        if (n <= 0) break;
        if (source.sll_pkttype == PACKET_OUTGOING) continue;  // a frame that this program has sent
        ++frames;
        if (lost(random)) {
          ++losses;
        } else {
          waiting.push_back({Clock::now() + delay, from, std::string(buffer.data(), n)});
        }
      }
    }
    while (!waiting.empty() && waiting.front().due <= Clock::now()) {
      for (size_t to = 0; to < ports.size(); ++to) {
        if (to == waiting.front().from) continue;
        // A frame that cannot be sent counts as lost.
        if (write(ports[to].fd, waiting.front().bytes.data(), waiting.front().bytes.size()) < 0) {
          ++losses;
        }
      }
      waiting.pop_front();
    }
  }
  std::printf("lost %lld of %lld frames\n", static_cast<long long>(losses),
              static_cast<long long>(frames));
  return 0;
}

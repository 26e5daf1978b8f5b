// The player's thread: sleeps until there is a job.
#include "player.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace lab {
namespace {

struct Player {
  std::mutex mutex;
  std::condition_variable wake;
  std::function<void()> job;  // under mutex, as the two below
  bool busy = false, stop = false;
  std::thread thread;

  void Work() {
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return job || stop; });
      if (!job) return;
      const std::function<void()> now = std::exchange(job, nullptr);
      lock.unlock();
      now();
      lock.lock();
      busy = false;
    }
  }
};

// Never destroyed, as the pool: the end of the process must not wait for a sleeping thread.
Player& ThePlayer() {
  static Player* player = new Player;
  return *player;
}

}  // namespace

bool PlayerStart(std::function<void()> job) {
  Player& player = ThePlayer();
  {
    std::lock_guard<std::mutex> lock(player.mutex);
    if (player.busy) return false;
    try {
      if (!player.thread.joinable()) player.thread = std::thread([&player] { player.Work(); });
    } catch (...) {
      return false;
    }
    player.busy = true;
    player.job = std::move(job);
  }
  player.wake.notify_one();
  return true;
}

void PlayerStop() {
  Player& player = ThePlayer();
  {
    std::lock_guard<std::mutex> lock(player.mutex);
    player.stop = true;
  }
  player.wake.notify_one();
  if (player.thread.joinable()) player.thread.join();
  player.thread = std::thread();
  player.stop = false;
}

}  // namespace lab

// A thread of its own that does one job at a time, so that JavaScript hears messages meanwhile.
#ifndef LAB_PLAYER_H
#define LAB_PLAYER_H

#include <functional>

namespace lab {

/// Begins `job` on the player's thread. False, and nothing happens, while it has another one or the system grants no thread.
bool PlayerStart(std::function<void()> job);
/// Waits until the job is done, then ends the thread; it starts again with the next job.
void PlayerStop();

}  // namespace lab

#endif

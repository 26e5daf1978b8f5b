// What the thread pool is told about the loops to come.
#ifndef LAB_POOL_H
#define LAB_POOL_H

namespace lab {

/// Threads without work look for the next loop as long, within 50 and 150 microseconds, before they sleep.
void ExpectNextWithin(double milliseconds);

}  // namespace lab

#endif

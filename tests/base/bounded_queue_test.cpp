#include "base/bounded_queue.hpp"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace vmigrate {
namespace {

TEST(BoundedQueue, KeepsOrderAndDrainsAfterClose) {
  BoundedQueue<int> queue(4);
  EXPECT_TRUE(queue.push(1));
  EXPECT_TRUE(queue.push(2));
  queue.close();
  EXPECT_FALSE(queue.push(3));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueue, AFullQueueHoldsTheProducerBack) {
  BoundedQueue<int> queue(10);
  ASSERT_TRUE(queue.push(1, 8));
  std::atomic<bool> pushed = false;
  std::jthread producer([&] {
    ASSERT_TRUE(queue.push(2, 8));
    pushed = true;
  });
  EXPECT_EQ(queue.used(), 8U);
  EXPECT_FALSE(pushed);
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  producer.join();
  EXPECT_TRUE(pushed);
}

TEST(BoundedQueue, AnItemHeavierThanTheQueuePassesAlone) {
  BoundedQueue<int> queue(10);
  EXPECT_TRUE(queue.push(1, 100));
  EXPECT_EQ(queue.pop(), 1);
}

TEST(BoundedQueue, MoreRoomWakesAWaitingProducer) {
  BoundedQueue<int> queue(10);
  ASSERT_TRUE(queue.push(1, 8));
  std::jthread producer([&] { EXPECT_TRUE(queue.push(2, 8)); });
  queue.set_capacity(16);
  producer.join();
  EXPECT_EQ(queue.used(), 16U);
}

TEST(BoundedQueue, WhatIsInsideStaysWhenThereIsLessRoom) {
  BoundedQueue<int> queue(10);
  ASSERT_TRUE(queue.push(1, 5));
  ASSERT_TRUE(queue.push(2, 5));
  queue.set_capacity(4);
  std::jthread producer([&] { EXPECT_TRUE(queue.push(3, 4)); });
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.pop(), 3);
}

TEST(BoundedQueue, ClosingWakesAWaitingProducer) {
  BoundedQueue<int> queue(1);
  ASSERT_TRUE(queue.push(1));
  std::jthread producer([&] { EXPECT_FALSE(queue.push(2)); });
  queue.close();
}

}  // namespace
}  // namespace vmigrate

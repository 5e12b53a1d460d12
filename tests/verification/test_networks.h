// Small networks with their weights, built in the test itself.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "ckpt/network/network.h"
#include "tests/support/memory_checkpoint.h"

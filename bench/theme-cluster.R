# Maps over mirai's daemons: ClusterBackend() against mirai_map() on the same two daemons of this machine.

section("Over mirai's daemons", c(
  "Two local daemons. `pool$map()` over `ClusterBackend()` sends chunks and runs each in workers forked by its daemon; `mirai_map()`",
  "sends an item at a time. A map has a fixed cost of its own: the daemons join, collect and fork."))

daemons_here <- requireNamespace("mirai", quietly = TRUE)
if (daemons_here) mirai::daemons(2)
over <- function(x, f) list(
  `sharedmem, ClusterBackend` = peer("mirai", function() MapReduce(backend = ClusterBackend())$map(f, x)),
  mirai_map = peer("mirai", function() mirai::mirai_map(x, f)[]))

n <- size(1e5, 1e3)
work(sprintf("%.0f tiny items", n), over(seq_len(n), bare(function(i) i)), times = size(3L, 2L), budget = size(60, 1),
     check = function(r) identical(unlist(r), seq_len(n)), goal = "a tenth of mirai_map()", met = function(m) m[[1L]] <= m[[2L]] / 10)
work(sprintf("4 results of %.0f MB", size(80, 8)), over(1:4, bare(function(i) numeric(n) + i, n = size(1e7, 1e6))), times = size(5L, 2L),
     budget = size(20, 1), check = function(r) length(r) == 4L && r[[4L]][1L] == 4, goal = "1.1 of mirai_map()",
     met = function(m) m[[1L]] <= 1.1 * m[[2L]])
reaching <- bare(function(i) big[i], big = numeric(size(25e6, 25e5)) + 1)
work(sprintf("2000 items of a closure with %.0f MB", size(200, 20)), over(seq_len(2000), reaching)[1L],
     times = size(3L, 2L), budget = size(20, 1), check = function(r) length(r) == 2000L)
if (daemons_here) mirai::daemons(0)

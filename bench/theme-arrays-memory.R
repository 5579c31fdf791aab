# Shared arrays: what they cost to make, to fill and to let go.

section("Memory of shared arrays")

n_small <- size(1e5, 5000)
work(sprintf("make %d arrays of 10 doubles, one after the other", as.integer(n_small)), list(
  sharedmem = repeatedly(n_small, function() empty(10)),
  `numeric()` = repeatedly(n_small, function() numeric(10))))
work(sprintf("make %d arrays of 1000 doubles, one after the other", as.integer(n_small)), list(
  sharedmem = repeatedly(n_small, function() empty(1000)),
  `numeric()` = repeatedly(n_small, function() numeric(1000))))
work(sprintf("keep %d arrays of 10 doubles", as.integer(n_small)), list(
  sharedmem = function() lapply(seq_len(n_small), function(i) empty(10)),
  `numeric()` = function() lapply(seq_len(n_small), function(i) numeric(10))),
  check = function(l) length(l) == n_small)

n_peers <- size(200, 20)
work(sprintf("make %d arrays of 1000 doubles", as.integer(n_peers)), list(
  sharedmem = repeatedly(n_peers, function() empty(1000)),
  bigmemory = peer("bigmemory", repeatedly(n_peers, function() bigmemory::big.matrix(1000, 1, init = 0))),
  ff = peer("ff", repeatedly(n_peers, function() ff::ff(vmode = "double", length = 1000, initdata = 0)))),
  times = size(5L, 2L))

n_large <- size(2^27, 2^22)
text <- sprintf("%.0f MiB of doubles", n_large / 2^17)
work(paste("make", text), list(
  `sharedmem, backed` = function() empty(n_large),
  `numeric(), not backed` = function() numeric(n_large)),
  times = size(5L, 3L))
work(paste("make and fill", text), list(
  sharedmem = function() full(n_large, 1),
  `numeric()` = function() { x <- numeric(n_large); x[] <- 1; x },
  `rep()` = function() rep(1, n_large),
  bigmemory = peer("bigmemory", function() bigmemory::big.matrix(n_large, 1, init = 1)),
  ff = peer("ff", function() ff::ff(vmode = "double", length = n_large, initdata = 1))),
  times = size(5L, 2L))

values <- runif(size(25e6, 1e6))
work(sprintf("copy %.0f MB of doubles", length(values) * 8 / 1e6), list(
  sharedmem = function() copy(values),
  `values + 0` = function() values + 0,
  bigmemory = peer("bigmemory", function() bigmemory::as.big.matrix(values, type = "double")),
  ff = peer("ff", function() ff::as.ff(values))),
  times = size(5L, 2L))

n_loop <- size(200, 20)
work(sprintf("%d times 8 MB, each dropped", as.integer(n_loop)), list(
  sharedmem = function() for (k in seq_len(n_loop)) x <- empty(1e6),
  `numeric()` = function() for (k in seq_len(n_loop)) { x <- numeric(1e6); x[1] <- 1 }),
  times = size(3L, 2L))

# The integral of inst/examples/main.R: an array that all fill, a sum under a lock, sums returned. Each way has a session
# of its own, so that its peak of memory is its own too: that of the session and its processes together, sampled.

n <- size(128 * 2^20, 8 * 2^20)
chunk <- size(2^20, 2^18)
section(sprintf("Integral of x over %.0f Mi doubles, everything counted", n / 2^20), c(
  paste0("Each run is a session of its own. Memory: what the processes of the session hold together, each shared page once (`Pss`), ",
         "sampled every 10 ms or so."),
  sprintf("The array alone is %.0f MiB.", n / 2^17)))

ways <- list(
  sharedmem = function(n, chunk) {
    xdx <- empty(n)
    total <- empty(integer(0))
    total[] <- 0
    pool <- MapReduce(np = 2)
    r <- pool$map(function(i) {
      s <- seq.int(i, length.out = chunk)
      dx <- 1 / length(xdx)
      xdx[s] <- (s - 1) / length(xdx) * dx
      a <- sum(xdx[s])
      pool$critical({ total[] <- total[] + a })
      tuple(i, a)
    }, seq(1, n, by = chunk), reduce = function(i, a) a)
    c(sum(unlist(r)), total[], sum(xdx))
  },
  `mclapply, chunks returned` = function(n, chunk) {
    r <- parallel::mclapply(seq(1, n, by = chunk), function(i) {
      s <- seq.int(i, length.out = chunk)
      (s - 1) / n * (1 / n)
    }, mc.cores = 2)
    xdx <- unlist(r)
    c(sum(vapply(r, sum, 0)), sum(xdx), sum(xdx))
  },
  `mclapply, bigmemory, synchronicity` = function(n, chunk) {
    xdx <- bigmemory::big.matrix(n, 1)
    total <- bigmemory::big.matrix(1, 1, init = 0)
    m <- synchronicity::boost.mutex()
    r <- parallel::mclapply(seq(1, n, by = chunk), function(i) {
      s <- seq.int(i, length.out = chunk)
      xdx[s, 1] <- (s - 1) / n * (1 / n)
      a <- sum(xdx[s, 1])
      synchronicity::lock(m)
      total[1, 1] <- total[1, 1] + a
      synchronicity::unlock(m)
      a
    }, mc.cores = 2)
    sums <- vapply(seq(1, n, by = chunk), function(i) sum(xdx[seq.int(i, length.out = chunk), 1]), 0)
    c(sum(unlist(r)), total[1, 1], sum(sums))
  },
  `mclapply, shard, synchronicity` = function(n, chunk) {
    xdx <- shard::buffer("double", dim = n)
    total <- shard::buffer("double", dim = 1, init = 0)
    m <- synchronicity::boost.mutex()
    r <- parallel::mclapply(seq(1, n, by = chunk), function(i) {
      s <- seq.int(i, length.out = chunk)
      xdx[s] <- (s - 1) / n * (1 / n)
      a <- sum(xdx[s])
      synchronicity::lock(m)
      total[1] <- total[1] + a
      synchronicity::unlock(m)
      a
    }, mc.cores = 2)
    sums <- vapply(seq(1, n, by = chunk), function(i) sum(xdx[seq.int(i, length.out = chunk)]), 0)
    c(sum(unlist(r)), total[1], sum(sums))
  },
  `one process of R` = function(n, chunk) {
    xdx <- (seq_len(n) - 1) / n * (1 / n)
    rep(sum(xdx), 3L)
  },
  `limit: C, 2 processes` = function(n, chunk) rep(.Call(floors$integral, n), 3L))
needs <- list(`mclapply, bigmemory, synchronicity` = c("bigmemory", "synchronicity"),
              `mclapply, shard, synchronicity` = c("shard", "synchronicity"))

# In the fresh session: the sampler is a process that reads /proc until a file appears, then leaves the peak there.
timed_alone <- function(way, n, chunk, packages, memory) {
  for (p in packages) loadNamespace(p)
  peak <- if (memory) start_sampler()
  start <- now()
  sums <- way(n, chunk)
  seconds <- now() - start
  list(seconds = seconds, peak = if (memory) peak(), ok = all(abs(sums / ((n - 1) / n / 2) - 1) < 1e-9))
}

contenders <- lapply(names(ways), function(who) {
  lacking <- Filter(function(p) !nzchar(system.file(package = p)), needs[[who]])
  if (length(lacking)) return(absent(paste(lacking[1L], "is not installed")))
  if (is_limit(who) && !have_floors()) return(absent("no C compiler"))
  function() {
    got <- in_fresh_session(timed_alone, bare(ways[[who]]), n, chunk, as.character(needs[[who]]), FALSE)
    own_time(got$seconds, got$ok)
  }
})
names(contenders) <- names(ways)
python <- numpy_python()
by_numpy <- function() {
  got <- scan(text = system2(python, c("bench/integral.py", sprintf("%.0f", c(n, chunk))), stdout = TRUE), quiet = TRUE)
  own_time(got[1L], all(abs(got[-1L] / ((n - 1) / n / 2) - 1) < 1e-9))
}
contenders <- append(contenders, after = 1L,
                     list(`Python, NumPy, 2 processes` = if (is.null(python)) absent("NumPy is not installed") else by_numpy))
found <- work("the integral", contenders, times = size(7L, 1L), budget = size(13, 1), check = isTRUE,
  goal = "<= 1.0 of Python", met = function(m) isTRUE(m[["sharedmem"]] <= m[["Python, NumPy, 2 processes"]]),
  rest = paste0("R's own arithmetic on chunks 0.47 s in each worker, first touch of shared pages there 0.26, writing 0.11, subscripts ",
                "0.07; before that the array is reserved by one `fallocate()`, 0.24 s; the last sum 0.04"))

if (file.exists("/proc/self/smaps_rollup")) {
  put("| peak of memory, MiB | before the work | at most |")
  put("| --- | ---: | ---: |")
  for (who in if (quick) "sharedmem" else intersect(names(ways), found$who[!is.na(found$median)])) {
    times <- min(size(if (who == "sharedmem") 7L else 1L, 1L), most_runs)
    peaks <- tryCatch(replicate(times, in_fresh_session(timed_alone, bare(ways[[who]]), n, chunk, as.character(needs[[who]]), TRUE)$peak),
                      error = function(e) NULL)
    put(sprintf("| %s | %s |", who, if (is.null(peaks)) "failed |"
                else sprintf("%.0f | %.0f%s", stats::median(peaks[1L, ]), stats::median(peaks[2L, ]),
                                                                              if (who == "sharedmem" && !quick) " (goal: 1100)" else "")))
  }
}

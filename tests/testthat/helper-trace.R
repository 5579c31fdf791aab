# Traces of imagined maps: every time is known exactly.

# Raw trace as the package reads it from memory; rows: matrix or data frame rank, kind, item, start, end.
raw_trace <- function(rank, kind, item, start, end, np, elapsed, private_bytes = rep(NA_real_, np), cpu = rep(NA_real_, np),
                      starved = rep(NA_real_, np)) {
  zero <- matrix(0, np, length(sharedmem:::trace_kinds))
  list(events = list(rank = as.integer(rank), kind = match(kind, sharedmem:::trace_kinds), item = as.numeric(item),
                     start = as.numeric(start), end = as.numeric(end)),
       dropped = list(n = zero, total = zero, max = zero, last = zero + NA),
       private_bytes = private_bytes, cpu = cpu, starved = starved, elapsed = elapsed)
}

# One map: `work` seconds an item, then `locked` seconds in a section; items go to whoever is free first. The lock goes to
# whoever asked first, the ordered section to the lowest item.
synthetic_trace <- function(np, work, locked = 0, section = c("none", "critical", "ordered"), startup = 0.004, names = NULL) {
  section <- match.arg(section)
  n <- length(work)
  locked <- rep_len(locked, n)
  ready <- startup + seq_len(np) * 2e-4
  began <- ready
  item <- seq_len(min(n, np))
  t0 <- ready[item]
  asks <- t0 + work[item]
  given <- length(item)
  lock_free <- 0
  per <- if (section == "none") 1L else 3L
  rank <- start <- end <- numeric(per * n)
  for (i in seq_len(n)) {
    r <- if (section == "ordered") which(item == i) else which.min(asks)
    k <- item[r]
    rows <- per * (k - 1L) + seq_len(per)
    rank[rows] <- r - 1L
    got <- if (per == 3L) max(asks[r], lock_free) else asks[r]
    done <- if (per == 3L) got + locked[k] else got
    lock_free <- done
    start[rows] <- if (per == 3L) c(t0[r], asks[r], got) else t0[r]
    end[rows] <- if (per == 3L) c(done, got, done) else done
    ready[r] <- done
    given <- given + 1L
    item[r] <- if (given <= n) given else n + 1L
    t0[r] <- done
    asks[r] <- if (given <= n) done + work[given] else Inf
  }
  kind <- rep(if (per == 3L) c("item", paste0("wait_", section), paste0("hold_", section)) else "item", n)
  elapsed <- max(ready) + 0.001
  sharedmem:::new_trace(raw_trace(
    c(seq_len(np) - 1L, rank), c(rep("startup", np), kind), c(rep(NA, np), rep(seq_len(n), each = per)),
    c(rep(0, np), start), c(began, end), np, elapsed, rep(24 * 2^20, np), pmax(0, ready - startup)), n, names)
}

# The imagined maps that pictures and summaries are looked at with.
synthetic_examples <- function(np, n = 12 * np) {
  set.seed(1)
  list(balanced = synthetic_trace(np, stats::runif(n, 0.04, 0.06)),
       unbalanced = synthetic_trace(np, stats::rexp(n, 20)),
       lock = synthetic_trace(np, stats::runif(n, 0.01, 0.02), 0.03, "critical"),
       ordered = synthetic_trace(np, stats::rexp(n, 25), 0.002, "ordered"),
       tail = synthetic_trace(np, c(stats::runif(n - 1, 0.02, 0.03), 0.03 * n / np)))
}

# The traces that daemons have made of their chunks as one of the map. Ranks without a worker are left out, so those here count the
# workers that
# there were.

cluster_trace <- function(cl) {
  parts <- lapply(cl$traces, function(part) {
    part$ranks <- part$agent$rank0 + seq_len(part$trace$np) - 1L
    part$shift <- as.numeric(part$trace$begin) + part$agent$behind - as.numeric(cl$begin)
    part
  })
  ranks <- sort(unique(unlist(lapply(parts, `[[`, "ranks"))))
  np <- max(1L, length(ranks))
  zero <- matrix(0, np, length(trace_kinds))
  dropped <- list(n = zero, total = zero, max = zero, last = zero + NA)
  raw <- list(private_bytes = rep(NA_real_, np), cpu = rep(NA_real_, np), starved = rep(NA_real_, np),
              elapsed = as.numeric(Sys.time()) - as.numeric(cl$begin))
  hosts <- rep(NA_character_, np)
  for (part in parts) {
    t <- part$trace
    at <- match(part$ranks, ranks)
    hosts[at] <- part$agent$host
    raw$private_bytes[at] <- pmax(raw$private_bytes[at], t$private_bytes, na.rm = TRUE)
    for (what in c("cpu", "starved")) raw[[what]][at] <- rowSums(cbind(raw[[what]][at], t[[what]]), na.rm = TRUE)
    for (what in c("n", "total")) dropped[[what]][at, ] <- dropped[[what]][at, ] + t$dropped[[what]]
    dropped$max[at, ] <- pmax(dropped$max[at, ], t$dropped$max)
    dropped$last[at, ] <- pmax(dropped$last[at, ], t$dropped$last + part$shift, na.rm = TRUE)
  }
  raw$events <- shifted_events(parts, ranks)
  raw$dropped <- dropped
  trace <- new_trace(raw, cl$job$n, cl$job$names, cl$begin)
  trace$hosts <- hosts
  trace
}

# Events of all, at the ranks, items and times of the whole map.
shifted_events <- function(parts, ranks) {
  none <- list(rank = integer(), kind = integer(), item = numeric(), start = numeric(), end = numeric())
  each <- lapply(parts, function(part) {
    e <- part$trace$events
    list(rank = match(e$rank + part$agent$rank0, ranks) - 1L, kind = as.integer(e$kind), item = e$item + part$lo - 1,
         start = e$start + part$shift, end = e$end + part$shift)
  })
  sapply(names(none), function(k) c(none[[k]], unlist(lapply(each, `[[`, k))), simplify = FALSE)
}

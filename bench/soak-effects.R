# What items leave behind while their workers die at random moments. Sourced by bench/soak.R.
#
# Each item leaves four effects, in this order: it counts itself as begun (atomic_add), counts itself under critical, appends its number to a
# file, and counts itself as ended. Half of the deaths come from inside (SIGKILL, SIGSEGV, SIGABRT, q(), before, between and
# after the effects, and in critical), half from a process that kills workers at random moments.

# An item and its death, if it dies: chosen by its number, on its first run only.
effect_item <- function(i, e) {
  e$pids[e$pool$local$rank + 1] <- Sys.getpid()
  atomic_add(e$begun, i, 1L)
  dies <- e$point[i] * (e$begun[i] == 1L)
  if (dies == 1) die(e$how[i], e$deaths)
  e$pool$critical({
    e$total[1] <- e$total[1] + 1
    if (dies == 2) die(e$how[i], e$deaths)
    e$counted[i] <- e$counted[i] + 1L
  })
  if (dies == 3) die(e$how[i], e$deaths)
  cat(sprintf("%d\n", i), file = e$file, append = TRUE)
  atomic_add(e$ended, i, 1L)
  if (dies == 4) die(e$how[i], e$deaths)
  if (i %% 3 == 0) list(i, "x") else i
}

die <- function(how, deaths) {
  atomic_add(deaths, 1, 1L)
  if (how == 4) quit("no", 3)
  tools::pskill(Sys.getpid(), c(9L, 11L, 6L)[how])
  Sys.sleep(60) # until the signal has come
}

hunt <- function(pids, deaths, over, quota, seed) {
  set.seed(seed)
  while (over[1] == 0 && deaths[2] < quota) {
    Sys.sleep(runif(1, 0, 0.03))
    r <- sample.int(length(pids), 1)
    pid <- pids[r]
    if (pid == 0) next
    pids[r] <- 0L # a number is another's once its process has been waited for
    if (tools::pskill(pid, sample(c(9L, 9L, 15L, 11L), 1))) atomic_add(deaths, 2, 1L)
  }
}

# One map of n items: the number of deaths from inside and outside, and of what contradicts the contract.
effect_map <- function(n, np, mode, deaths_wanted, seed) {
  set.seed(seed)
  e <- list(pool = do.call(MapReduce, c(list(np = np), mode)), file = tempfile(), pids = full(np, 0, "i4"), total = full(1, 0),
            begun = full(n, 0, "i4"), counted = full(n, 0, "i4"), ended = full(n, 0, "i4"), deaths = full(2, 0, "i4"),
            point = integer(n), how = sample(1:4, n, TRUE))
  at <- sample.int(n, deaths_wanted / 2)
  e$point[at] <- sample.int(4, length(at), TRUE)
  over <- full(1, 0)
  hunter <- background(hunt, e$pids, e$deaths, over, deaths_wanted / 2, seed)
  r <- e$pool$map(effect_item, seq_len(n), e = e)
  over[1] <- 1
  hunter$wait(60)
  fine <- !vapply(r, inherits, NA, "WorkerException")
  retries <- if (is.null(mode$retries)) 0 else mode$retries
  begun <- e$begun[]
  effects <- list(e$counted[], tabulate(scan(e$file, quiet = TRUE), n), e$ended[])
  unlink(e$file)
  many <- sum(e$deaths[])
  wrong <- c(
    result = sum(vapply(r[fine], function(v) v[[1L]], 0) != which(fine)),
    lost = sum(begun[fine] < 1, unlist(lapply(effects, function(x) x[fine] < 1))),
    more_than_tries = sum(unlist(lapply(effects, function(x) x > begun)), begun > 1 + retries),
    # each run but the first has a death of its own, and each failure one more than there are retries
    without_death = max(0, sum(pmax(begun[fine] - 1, 0)) + sum(!fine) * (1 + retries) - many),
    critical = e$total[1] < sum(e$counted[]) || e$total[1] - sum(e$counted[]) > many)
  list(deaths = e$deaths[], wrong = wrong, again = sum(begun > 1), failed = sum(!fine))
}

soak_effects <- function(quota, n = 1e4, maps = 10, np = 4) {
  modes <- list("retries = 50" = list(retries = 50), 'on_error = "collect"' = list(on_error = "collect"),
                'retries = 1, on_error = "collect"' = list(retries = 1, on_error = "collect"))
  for (name in names(modes)) {
    before <- left_now()
    started <- Sys.time()
    runs <- lapply(seq_len(maps), function(k) effect_map(n, np, modes[[name]], quota / maps, k))
    deaths <- Reduce(`+`, lapply(runs, `[[`, "deaths"))
    wrong <- Reduce(`+`, lapply(runs, `[[`, "wrong"))
    say(paste0("- `%s`: %d deaths (%d from inside, %d from outside) over %.0f items with effects in shared memory, in a file and under ",
               "critical, %.0f s; %d items ran more than once, %d failed: %s"),
        name, sum(deaths), deaths[1], deaths[2], n * maps, as.numeric(Sys.time() - started, units = "secs"), sum(vapply(runs, `[[`, 0, "again")),
        sum(vapply(runs, `[[`, 0, "failed")),
        if (any(wrong > 0)) paste("WRONG", paste(names(wrong), wrong, collapse = ", "))
        else "each effect of a finished item that met no death happened once, of the others at most once a try")
    report_left(before, left_now())
  }
}

# Runs each kind of region many times in a row and says how long it took: loops of the three schedules, ordered
# or not, reductions of vectors, errors in ordered and critical sections, a kill between two barriers,
# ranks that disagree. A hang is found by the time limit of whoever runs this; a wrong result stops it.
#
#   Rscript bench/soak-region.R [TIMES=200] [PROCESSES=2]

library(sharedmem)

args <- as.integer(commandArgs(TRUE))
times <- if (length(args) >= 1L) args[1L] else 200L
nproc <- if (length(args) >= 2L) args[2L] else 2L
raised <- function(expr) tryCatch({ expr; NULL }, error = identity)
pair <- function(i) c(i, 10 * i)
schedules <- c("static", "dynamic", "guided")

case <- function(name, run) {
  start <- proc.time()[["elapsed"]]
  for (k in seq_len(times)) stopifnot(isTRUE(run(k)))
  cat(sprintf("%-28s %d times, %6.1f s\n", name, times, proc.time()[["elapsed"]] - start))
}

loop <- function(schedule, ordered) function(k) {
  p <- Parallel(Shared(n = 0L, order = integer(20)), Reduction("+", a = c(0, 0)), num_threads = nproc)
  with(p, p$forloop(1:20, schedule = schedule, chunk = if (k %% 2) 3, ordered = ordered, body = function(i, section) {
    p$var$a <- p$var$a + pair(i)
    if (ordered) section({
      p$var$n <- p$var$n + 1L
      p$var$order[p$var$n] <- i
    })
  }))
  identical(p$var$a, c(210, 2100)) && (!ordered || identical(p$var$order[], 1:20))
}

fails_with <- function(text, expr) {
  e <- raised(expr)
  inherits(e, "WorkerException") && identical(conditionMessage(e$reason), text)
}

p <- Parallel(Reduction("+", a = c(0, 0)), num_threads = nproc)
for (schedule in schedules) for (ordered in c(FALSE, TRUE))
  case(paste0(schedule, if (ordered) ", ordered"), loop(schedule, ordered))
for (schedule in schedules) {
  case(paste0("error in ordered, ", schedule), function(k)
    fails_with("at 19", with(p, p$forloop(1:20, schedule = schedule, ordered = TRUE, body = function(i, ordered) ordered({
      p$var$a <- p$var$a + pair(i)
      if (i == 19) stop("at 19")
    })))))
  case(paste0("error in critical, ", schedule), function(k)
    fails_with("at 19", with(p, p$forloop(1:20, schedule = schedule, body = function(i) p$critical({
      p$var$a <- p$var$a + pair(i)
      if (i == 19) stop("at 19")
    })))))
}
case("kill between two barriers", function(k) {
  victim <- 1L + k %% (nproc - 1L)
  e <- raised(with(p, {
    p$barrier()
    if (p$rank == victim) tools::pskill(Sys.getpid(), tools::SIGKILL)
    p$barrier()
  }))
  inherits(e, "WorkerException") && e$rank == victim && grepl("SIGKILL", conditionMessage(e))
})
case("a barrier that one misses", function(k)
  inherits(raised(with(p, if (p$rank != k %% nproc) p$barrier()))$reason, "sharedmem_region_error"))
case("500 barriers", function(k) {
  with(p, for (i in 1:500) p$barrier())
  TRUE
})

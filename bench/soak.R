# The soak: many deaths, interrupts and maps in one session, and what is left afterwards. Writes the section "Soak" of
# bench/RELIABILITY.md.
#   Rscript bench/soak.R [kills] [interrupts] [maps] [deaths]
library(sharedmem)
source("bench/soak-effects.R")
source("tools/reliability.R")
args <- as.numeric(commandArgs(TRUE))
want <- c(kills = 1000, interrupts = 1000, maps = 10000, deaths = 1000)
want[seq_along(args)] <- args

children <- function() {
  f <- sprintf("/proc/self/task/%d/children", Sys.getpid())
  scan(f, quiet = TRUE)
}
# Finished workers may be dying still.
await_ends <- function() for (wait in 1:500) if (length(children())) Sys.sleep(0.01) else break
left_now <- function() {
  gc()
  await_ends()
  c(children = length(children()), descriptors = length(list.files("/proc/self/fd")),
    shared_maps = length(grep("memfd|/dev/zero", readLines("/proc/self/maps"))), files = length(list.files(tempdir())),
    shm = length(list.files("/dev/shm", "^sm[0-9]+[.]")))
}
rss <- function() as.numeric(sub("VmRSS:\\s+(\\d+).*", "\\1", grep("VmRSS", readLines("/proc/self/status"), value = TRUE))) / 1024
lines <- character()
say <- function(...) {
  text <- sprintf(...)
  message(text)
  lines <<- c(lines, text)
}

# ---- workers killed at random moments, a third of them in critical or ordered ----

parent_of <- function(pid) {
  stat <- tryCatch(suppressWarnings(readLines(sprintf("/proc/%d/stat", pid), 1L)), error = function(e) "")
  if (!length(stat) || !nzchar(stat)) return(NA)
  as.numeric(strsplit(sub(".*\\) ", "", stat), " ")[[1L]][2L])
}

# Running, not a zombie that init has not yet reaped.
runs <- function(pid) {
  stat <- tryCatch(suppressWarnings(readLines(sprintf("/proc/%d/stat", pid), 1L)), error = function(e) character())
  length(stat) == 1L && !grepl("\\) [ZX] ", stat)
}

# Runs beside the map: kills workers until the quota is used up or the map is over.
killer <- function(master, pids, where, killed, quota, over, np, seed) {
  set.seed(seed)
  while (over[1] == 0 && sum(killed[]) < quota) {
    Sys.sleep(runif(1, 0, 0.02))
    r <- sample.int(np, 1)
    kind <- if (runif(1) < 1 / 3) sample(2:3, 1) else 1L
    if (kind > 1L) { # until that worker is in a section of this kind
      until <- Sys.time() + 0.05
      while (where[r] != kind - 1L && Sys.time() < until) NULL
    }
    pid <- pids[r]
    now <- where[r]
    above <- if (pid > 0) parent_of(pid) else NA
    # a worker of this map only: a child of the master or of its template
    if (is.na(above) || !(above == master || isTRUE(parent_of(above) == master))) next
    if (tools::pskill(pid, 9)) killed[now + 1L] <- killed[now + 1L] + 1
  }
  NULL
}

soak_kills <- function(quota) {
  n <- 200
  np <- 4
  pool <- MapReduce(np = np, retries = 1000)
  before <- left_now()
  total <- c(0, 0, 0)
  wrong <- maps <- 0
  started <- Sys.time()
  while (sum(total) < quota) {
    pids <- full(np, 0); where <- full(np, 0); killed <- full(3, 0); over <- full(1, 0)
    mark <- full(n, 0); log <- full(n + 10, 0); logged <- full(1, 0); token <- full(1, 0); broken <- full(1, 0)
    job <- function(i) {
      r <- pool$local$rank + 1
      where[r] <- 0
      pids[r] <- Sys.getpid()
      u <- runif(2)
      Sys.sleep(0.001)
      pool$critical({
        where[r] <- 1
        token[1] <- Sys.getpid()
        Sys.sleep(0.0005)
        if (token[1] != Sys.getpid()) broken[1] <- broken[1] + 1
        mark[i] <- 1
        where[r] <- 0
      })
      pool$ordered({
        where[r] <- 2
        k <- logged[1]
        if (!i %in% log[seq_len(k)]) { log[k + 1] <- i; logged[1] <- k + 1 } # an item that runs again comes twice
        Sys.sleep(0.0005)
        where[r] <- 0
      })
      list(i, u, as.character(i))
    }
    set.seed(maps)
    expected <- local({ kept <- job; p0 <- MapReduce(np = 0); p0$map(function(i) { u <- runif(2); list(i, u, as.character(i)) }, 1:n) })
    hunter <- background(killer, Sys.getpid(), pids, where, killed, min(20, quota - sum(total)), over, np, maps)
    set.seed(maps)
    got <- pool$map(job, 1:n)
    over[1] <- 1
    hunter$wait(10)
    total <- total + killed[]
    ok <- identical(got, expected) && sum(mark[]) == n && identical(log[1:n], as.numeric(1:n)) && logged[1] == n && broken[1] == 0
    if (!ok) wrong <- wrong + 1
    maps <- maps + 1
  }
  rm(pids, where, killed, over, mark, log, logged, token, broken, hunter, job)
  after <- left_now()
  say(paste0("- %d workers killed by SIGKILL over %d maps of %d items on %d workers with retries (%d outside of sections, %d in ",
             "critical, %d in ordered), %.0f s: %d maps with a wrong result, count or order"),
      sum(total), maps, n, np, total[1], total[2], total[3], as.numeric(Sys.time() - started, units = "secs"), wrong)
  report_left(before, after)
}

report_left <- function(before, after)
  say("  left behind: %s", paste(sprintf("%s %+d", names(after), as.integer(after - before)), collapse = ", "))

# ---- maps interrupted at random moments ----

soak_interrupts <- function(count) {
  pool <- MapReduce(np = 2)
  before <- left_now()
  started <- Sys.time()
  took <- numeric()
  hit <- 0
  sent <- full(1, 0)
  go <- full(1, 0)
  master <- Sys.getpid()
  stray <- 0
  for (k in seq_len(count)) {
    sent[1] <- 0
    delay <- runif(1, 0, 0.03)
    hunter <- background(function() { Sys.sleep(delay); sent[1] <- as.numeric(Sys.time()); tools::pskill(master, 2) })
    kind <- k %% 4
    tryCatch({
      if (kind == 0) pool$map(function(i) Sys.sleep(5), 1:2)
      else if (kind == 1) pool$map(function(i) pool$critical(Sys.sleep(5)), 1:2)
      else if (kind == 2) pool$map(function(i) numeric(5e5), 1:400, reduce = function(x) { for (j in 1:1e4) x[1] <- j; NULL })
      else repeat pool$map(function(i) i, 1:1000)
      Sys.sleep(1)
    }, interrupt = function(e) {
      took <<- c(took, as.numeric(Sys.time()) - sent[1])
      hit <<- hit + 1
    })
    # late signals and the hunter's end
    tryCatch(hunter$wait(5), interrupt = function(e) NULL)
    hunter$wait(5)
    await_ends()
    if (length(children())) stray <- stray + 1
  }
  rm(sent, go, hunter)
  after <- left_now()
  say(paste0("- %d maps interrupted by SIGINT (waiting, in critical, in reduce, between maps), %.0f s: %d interrupts caught, %d times ",
             "a process was left; from signal to prompt median %.0f ms, longest %.0f ms"),
      count, as.numeric(Sys.time() - started, units = "secs"), hit, stray, 1e3 * median(took), 1e3 * max(took))
  report_left(before, after)
}

# ---- many maps ----

soak_maps <- function(count) {
  pool <- MapReduce(np = 2)
  for (k in 1:20) pool$map(function(i) i, 1:2)
  before <- left_now()
  m0 <- rss()
  took <- numeric(count)
  for (k in seq_len(count)) {
    t0 <- as.numeric(Sys.time())
    pool$map(function(i) i, 1:2)
    took[k] <- as.numeric(Sys.time()) - t0
  }
  part <- max(1, count %/% 10)
  say("- %d maps of two items: median %.2f ms in the first tenth, %.2f ms in the last; resident memory %.1f MB before, %.1f MB after",
      count, 1e3 * median(head(took, part)), 1e3 * median(tail(took, part)), m0, rss())
  report_left(before, left_now())
}

soak_many_workers <- function() {
  before <- left_now()
  here <- full(1, 0)
  t0 <- Sys.time()
  r <- MapReduce(np = 600)$map(function(i) { # none goes on before all have come
    atomic_add(here, 1, 1)
    until <- Sys.time() + 120
    while (here[1] < 600 && Sys.time() < until) Sys.sleep(0.5)
    Sys.getpid()
  }, 1:600)
  say("- 600 workers at once: %d different processes gave results, %.1f s", length(unique(unlist(r))),
      as.numeric(Sys.time() - t0, units = "secs"))
  rm(here)
  report_left(before, left_now())
}

soak_dead_master <- function(times) {
  gone <- numeric()
  for (k in seq_len(times)) {
    file <- tempfile()
    code <- sprintf(paste0("library(sharedmem); p <- MapReduce(np = 3); p$map(function(i) { cat(Sys.getpid(), '\\n', file = '%s', ",
                           "append = TRUE); if (i == 1) p$critical(Sys.sleep(60)) else if (i == 2) p$critical(1) else repeat NULL }, 1:3)"),
                             file)
    master <- background(function() { system2("Rscript", c("-e", shQuote(code)), stdout = FALSE, stderr = FALSE) })
    pids <- numeric()
    until <- Sys.time() + 20
    while (length(pids) < 3 && Sys.time() < until) {
      Sys.sleep(0.05)
      pids <- if (file.exists(file)) scan(file, quiet = TRUE) else numeric()
    }
    top <- parent_of(pids[1])
    t0 <- as.numeric(Sys.time())
    tools::pskill(top, 9)
    while (any(vapply(pids, runs, NA)) && as.numeric(Sys.time()) - t0 < 5) Sys.sleep(0.005)
    gone <- c(gone, as.numeric(Sys.time()) - t0)
    master$wait(10)
  }
  say("- master killed by SIGKILL %d times, workers in critical, waiting for it, and in an endless loop: all gone after at most %.0f ms",
      times, 1e3 * max(gone))
}

invisible(MapReduce(np = 2)$map(identity, 1:2)) # what the first map loads and keeps
if (want[["deaths"]] > 0) soak_effects(want[["deaths"]])
if (want[["kills"]] > 0) soak_kills(want[["kills"]])
if (want[["interrupts"]] > 0) soak_interrupts(want[["interrupts"]])
if (want[["maps"]] > 0) soak_maps(want[["maps"]])
soak_many_workers()
soak_dead_master(5)

write_section("Soak", "make soak", lines)

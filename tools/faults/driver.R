# In a process under the shim: runs the small programs with one call failing in each, as the lines of the plan say:
#   Rscript driver.R PLAN LOG      PLAN: program function depth at errno
#   each on a line; at = 0: counts calls only, of functions joined by commas
# A line of LOG for each line of the plan, written before (its number) and after (the outcome).
suppressPackageStartupMessages(library(sharedmem))
args <- commandArgs(TRUE)
plan <- read.table(args[1L], col.names = c("program", "fn", "depth", "at", "errno"), stringsAsFactors = FALSE)
log <- file(args[2L], "a")
dyn.load(Sys.getenv("LD_PRELOAD"))
fault_plan <- function(fn, depth, at, errno) invisible(.C("fault_plan", fn, as.integer(depth), as.integer(at), as.integer(errno)))
fault_calls <- function(fn, depth) unlist(.C("fault_calls", fn, as.integer(depth), 0L, 0L)[3:4])

# All counts of these functions: function, depth and calls, with colons.
all_calls <- function(fns) {
  at <- expand.grid(fn = fns, depth = 0:2, stringsAsFactors = FALSE)
  paste(sprintf("%s:%d:%d", at$fn, at$depth,
                vapply(seq_len(nrow(at)), function(k) fault_calls(at$fn[k], at$depth[k])[[1L]], 0L)), collapse = " ")
}

item <- function(i) switch(i, 1, "two", seq_len(3e5) + 0, as.list(1:40), rep("text", 3e4), full(3, 6))
check_items <- function(r) {
  stopifnot(identical(r[1:5], list(1, "two", seq_len(3e5) + 0, as.list(1:40), rep("text", 3e4))), identical(r[[6]][], rep(6, 3)))
}
programs <- list(
  map = function() {
    total <- full(integer(0), 0)
    pool <- MapReduce(np = 2)
    seen <- 0
    r <- pool$map(function(i) {
      pool$critical(total[] <- total[] + 1)
      pool$ordered(NULL)
      item(i)
    }, 1:6, reduce = function(v) { seen <<- seen + 1; v })
    check_items(r)
    stopifnot(seen == 6, total[] >= 6)
  },
  retries = function() {
    died <- full(1, 0)
    check_items(MapReduce(np = 2, retries = 2)$map(function(i) {
      if (i == 2 && died[1] == 0) {
        died[1] <- 1
        tools::pskill(Sys.getpid(), 9L)
      }
      item(i)
    }, 1:6))
  },
  region = function() {
    p <- Parallel(Shared(hits = integer(20)), Reduction("+", s = 0), num_threads = 2)
    with(p, p$forloop(1:20, schedule = "dynamic", body = function(i) {
      p$var$hits[i] <- p$var$hits[i] + 1L
      p$var$s <- p$var$s + i
    }))
    stopifnot(identical(p$var$hits[], rep(1L, 20)), p$var$s == 210)
  },
  failure = function() { # of a member, while the session computes
    p <- Parallel(num_threads = 2)
    e <- tryCatch(with(p, { if (p$rank == 1) stop("here"); repeat NULL }), WorkerException = identity)
    stopifnot(identical(conditionMessage(e$reason), "here") || expected_error(e$reason))
  },
  served = function() { # what fails is in the session alone: the server's is another program
    server <- fork_server()
    on.exit(server$stop())
    check_items(MapReduce(ServerBackend, np = 2)$map(item, 1:6))
  },
  background = function() {
    b <- background(function() list(sum(1:10), numeric(2e5)))
    on.exit(b$cancel()) # after an error on the way it could be waited for again
    stopifnot(identical(b$wait(), list(55L, numeric(2e5))))
  },
  array = function() {
    x <- full(c(300, 400), 2)
    x[2, ] <- 5
    y <- copy(list(a = 1:1e5, b = letters))
    f <- tempfile()
    on.exit(unlink(f))
    saveRDS(x, f)
    stopifnot(sum(x) == 2 * 120000 + 3 * 400, identical(readRDS(f)[1:2, 3], c(2, 5)), identical(unshare(y), list(a = 1:1e5, b = letters)),
              identical(unserialize(serialize(x, NULL))[], x[]))
    g <- tempfile()
    on.exit(unlink(g), add = TRUE)
    m <- memmap(g, "f8", 1000, mode = "w+")
    m[] <- 1:1000
    flush(m)
    stopifnot(identical(fromfile(g, "f8")[], as.double(1:1000)))
  },
  argsort = function() {
    v <- ((seq_len(4e5) * 7919) %% 400009) + 0
    stopifnot(identical(argsort(as_shared(v), np = 2)[], order(v)), identical(order(v), argsort(v, np = 2)[]))
  })

children <- function() {
  me <- Sys.getpid()
  n <- tryCatch(scan(sprintf("/proc/%d/task/%d/children", me, me), 0L, quiet = TRUE), error = function(e) integer())
  length(n)
}
descriptors <- function() length(list.files("/proc/self/fd"))
left <- function(before) {
  until <- proc.time()[["elapsed"]] + 3
  repeat {
    gc(FALSE)
    now <- c(children(), descriptors(), length(list.files("/dev/shm", "^sm[0-9]+[.]")))
    if (all(now <= before) || proc.time()[["elapsed"]] > until) break
    Sys.sleep(0.02)
  }
  c("children", "descriptors", "/dev/shm")[now > before]
}
expected_error <- function(e)
  inherits(e, c("sharedmem_error", "WorkerException")) || grepl("cannot allocate|memory exhausted|allocate memory", conditionMessage(e))

refused <- nzchar(Sys.getenv("FAULTS_REFUSED")) # a call is refused from the start
for (p in programs) # what is kept for later is there from now on
  if (refused) try(suppressMessages(suppressWarnings(p())), silent = TRUE) else p()
invisible(gc(FALSE))
for (k in seq_len(nrow(plan))) {
  one <- plan[k, ]
  writeLines(sprintf("begin %d", k), log)
  flush(log)
  before <- c(children(), descriptors(), length(list.files("/dev/shm", "^sm[0-9]+[.]")))
  program <- programs[[one$program]]
  fault_plan(one$fn, one$depth, one$at, one$errno)
  e <- tryCatch({ suppressMessages(suppressWarnings(program())); NULL }, error = identity, interrupt = identity)
  calls <- fault_calls(one$fn, one$depth)
  counted <- if (one$at == 0) all_calls(strsplit(one$fn, ",")[[1L]]) else ""
  fault_plan("none", 0L, 0L, 0L)
  verdict <- if (is.null(e)) "right" else if (expected_error(e)) "error" else "WRONG"
  text <- if (is.null(e)) "" else paste(class(e)[1L], gsub("[\t\n]", " ", conditionMessage(e)))
  stays <- left(before)
  if (length(stays)) verdict <- "LEFT"
  again <- tryCatch({ if (one$at > 0) programs[[if (one$program == "map") "retries" else "map"]](); NULL }, error = identity)
  if (!is.null(again)) verdict <- "AFTER"
  writeLines(sprintf("end %d\t%s\t%d\t%d\t%s", k, verdict, calls[1L], calls[2L],
                     if (one$at == 0 && !refused) counted
                     else paste(c(text, stays, if (!is.null(again)) conditionMessage(again)), collapse = " | ")), log)
  flush(log)
}
writeLines("done", log)

# The benchmarks' tools: interleaved runs, medians, Markdown tables, goals and plots. Sourced by bench/bench.R, once in
# the process that runs a theme and once in the one that puts the themes together.
#
# A theme is a file bench/theme-*.R that calls section() and work(). Contenders of one piece of work run
# in turn, round after round, so that a noisy machine is noisy for all of them; the first round warms
# up and does not count. A contender whose package is not installed is named as missing, one that fails or gives a
# wrong result as failed.

# --quick: small sizes, few runs. --runs=K: sizes as they are, at most K runs of each contender.
quick <- "--quick" %in% commandArgs(TRUE)
most_runs <- as.numeric(c(sub("^--runs=", "", grep("^--runs=[0-9]+$", commandArgs(TRUE), value = TRUE)), Inf)[1L])
options_given <- grep("^--(quick|runs=[0-9]+)$", commandArgs(TRUE), value = TRUE)

# `full` in a full run, `small` in a quick one.
size <- function(full, small) if (quick) small else full

# ---- contenders: functions of no argument, or one of these ----

# A contender that needs a package: its function, or the package's name where it is missing.
peer <- function(package, f) {
  if (requireNamespace(package, quietly = TRUE)) f else absent(paste(package, "is not installed"))
}
absent <- function(why) structure(list(why = why), class = "absent")

# A physical limit that follows from the work itself, in seconds.
stated <- function(seconds) structure(list(seconds = seconds), class = "stated")

# What a contender gives that has timed itself.
own_time <- function(seconds, value = NULL) structure(list(seconds = seconds, value = value), class = "own_time")

# For work that is over in microseconds: a function that runs `f` n times. Times are then of all n.
repeatedly <- function(n, f) function() {
  for (k in seq_len(n)) value <- f()
  value
}

# `f` (of one argument, or none) in an environment that holds the objects of ... alone, for peers that serialize functions.
bare <- function(f, ...) {
  environment(f) <- list2env(list(...), parent = globalenv())
  f
}

now <- function() as.numeric(Sys.time())      # microseconds; proc.time() has milliseconds

# ---- measuring ----

# Processes of this one that run still; those that are there for good (daemons) are left out by their pid.
children <- function() {
  file <- sprintf("/proc/self/task/%d/children", Sys.getpid())
  pids <- tryCatch(suppressWarnings(scan(file, quiet = TRUE)), error = function(e) integer())
  runs <- vapply(pids, function(pid) {
    stat <- tryCatch(suppressWarnings(readLines(sprintf("/proc/%d/stat", pid), 1L)), error = function(e) character())
    length(stat) == 1L && !grepl("\\) [ZX] ", stat)
  }, NA)
  pids[as.logical(runs)]
}

# Waits until a contender's processes are gone, a second at most, so that the next one does not pay for them. Gives those
# that stay.
settle <- function(known, most = 1) {
  until <- now() + most
  while (length(left <- setdiff(children(), known)) && now() < until) Sys.sleep(0.002)
  left
}

# The name of what a user of the package would run, of a physical limit, or of somebody else's way.
is_ours <- function(who) startsWith(who, "sharedmem")
is_limit <- function(who) startsWith(who, "limit")

# Times each function of the named list `contenders` (those that are NULL are left out); gives a data frame with one row each: who; median,
# min, max, cpu and after (seconds); ratio (median over that of the first); runs; note (why there are no figures).
#   check    a function of one result that must give TRUE for every contender but the limits
#   prepare  called before each turn, untimed
#   after    a function of the result that is timed by itself
#   block    runs in a row each turn, for work so short that what a contender leaves to be cleaned up would fall to the next
#   budget   seconds that one contender may take altogether; past them it sits out, and `runs` says how many counted
compare <- function(contenders, times = size(7L, 2L), check = function(x) TRUE, prepare = function() NULL, after = NULL,
                    block = 1L, budget = size(14, 1)) {
  contenders <- Filter(Negate(is.null), contenders)
  times <- min(times, most_runs)
  block <- min(block, most_runs)
  found <- lapply(contenders, function(f) list(wall = numeric(), cpu = numeric(), after = numeric(), note = ""))
  for (who in names(contenders)) {
    f <- contenders[[who]]
    if (inherits(f, "absent")) found[[who]]$note <- f$why
    if (inherits(f, "stated")) found[[who]]$wall <- f$seconds
  }
  running <- names(contenders)[vapply(contenders, is.function, NA)]
  spent <- stats::setNames(numeric(length(running)), running)
  known <- children()
  for (round in 0:times) for (who in running[sample.int(length(running))]) {
    if (nzchar(found[[who]]$note) || spent[[who]] > budget) next
    run <- tryCatch(take_turn(contenders[[who]], if (round) block else 1L, if (is_limit(who)) NULL else check, prepare, after),
                    error = function(e) conditionMessage(e))
    known <- c(known, settle(known))
    if (is.character(run)) {
      found[[who]]$note <- paste("failed:", gsub("[|\n]", " ", substr(run[1L], 1L, 100L)))
      next
    }
    spent[[who]] <- spent[[who]] + run$spent
    if (round > 0L || spent[[who]] > budget)
      for (what in c("wall", "cpu", "after")) found[[who]][[what]] <- c(found[[who]][[what]], run[[what]])
  }
  rows <- lapply(names(found), function(who) {
    f <- found[[who]]
    if (nzchar(f$note)) f$wall <- NA_real_
    data.frame(who = who, median = stats::median(f$wall), min = min(f$wall), max = max(f$wall),
               cpu = if (length(f$cpu)) stats::median(f$cpu) else NA_real_,
               after = if (length(f$after)) stats::median(f$after) else NA_real_, runs = length(f$wall), note = f$note)
  })
  out <- do.call(rbind, rows)
  out$ratio <- out$median / out$median[1L]
  out
}

# One turn of a contender: `block` runs, each timed; or an error.
take_turn <- function(f, block, check, prepare, after) {
  run <- list(wall = numeric(), cpu = numeric(), after = numeric(), spent = 0)
  prepare()
  gc()
  for (k in seq_len(block)) {
    cpu <- proc.time()
    start <- now()
    value <- suppressWarnings(f())
    wall <- now() - start
    cpu <- sum((proc.time() - cpu)[1:2])
    run$spent <- run$spent + wall
    if (inherits(value, "own_time")) {
      wall <- value$seconds
      value <- value$value
    }
    if (!is.null(check) && !isTRUE(check(value))) stop("a wrong result")
    run$wall <- c(run$wall, wall)
    run$cpu <- c(run$cpu, cpu)
    if (!is.null(after)) {
      start <- now()
      after(value)
      run$after <- c(run$after, now() - start)
    }
    value <- NULL
  }
  run
}

# Evaluates f(...) in a fresh R session with these tools loaded, `env` ("NAME=value") in its environment; gives its value.
# The function sees its arguments and the global environment alone.
in_fresh_session <- function(f, ..., env = character()) {
  files <- tempfile(c("call", "value"))
  on.exit(unlink(files))
  environment(f) <- globalenv()
  saveRDS(list(f, list(...), floors$dll), files[1L])
  code <- sprintf(paste0("library(sharedmem); for (f in c('harness', 'peers', 'floors')) source(sprintf('bench/%%s.R', f)); x <- ",
                         "readRDS('%s'); use_floors(x[[3L]]); saveRDS(do.call(x[[1L]], x[[2L]]), '%s')"),
                  files[1L], files[2L])
  status <- system2(file.path(R.home("bin"), "Rscript"), c("-e", shQuote(code), "--args", options_given), env = env)
  if (status != 0L || !file.exists(files[2L])) stop("the session ended with status ", status)
  readRDS(files[2L])
}

# ---- writing ----

the_results <- new.env()
the_results$title <- ""
the_results$text <- character()
the_results$rows <- list()                     # data frames of compare(), with a column `work`
the_results$goals <- character()
the_results$columns <- character()             # further columns of the table: "cpu", "after"
the_results$tail <- character()                # lines after the table

column_heads <- c(cpu = "CPU here", after = "first pass")

# Opens the theme. `columns`: of "cpu" (processor time of the session itself) and "after".
section <- function(title, text = NULL, columns = character()) {
  the_results$title <- title
  the_results$text <- text
  the_results$columns <- columns
  cat("\n== ", title, "\n", sep = "")
}

# Lines for below the table.
put <- function(...) {
  line <- paste0(...)
  cat(line, "\n", sep = "")
  the_results$tail <- c(the_results$tail, line)
}

# Measures one piece of work. `goal`: its text; `met`: a function of the named medians that says whether it is; `aside`:
# contenders that are no match for it, in the table of goals; `rest`: what our time beyond the limit consists of, from
# profiles. Further arguments are compare()'s.
work <- function(title, contenders, ..., goal = NULL, met = NULL, aside = character(), rest = "") {
  found <- tryCatch(compare(contenders, ...), error = function(e) {
    data.frame(who = "all", median = NA_real_, min = NA_real_, max = NA_real_, cpu = NA_real_, after = NA_real_, runs = 0L,
               note = paste("failed:", gsub("[|\n]", " ", conditionMessage(e))), ratio = NA_real_)
  })
  add_work(title, found, goal, met, aside, rest)
}

# Enters what compare() gave elsewhere.
add_work <- function(title, found, goal = NULL, met = NULL, aside = character(), rest = "") {
  found$work <- title
  the_results$rows <- c(the_results$rows, list(found))
  if (!is.null(goal)) the_results$goals <- c(the_results$goals, goal_line(title, found, goal, met, aside, rest))
  lines <- row_lines(found)
  cat(lines, sep = "\n")
  invisible(found)
}

row_lines <- function(found) {
  vapply(seq_len(nrow(found)), function(i) {
    r <- found[i, ]
    figures <- if (is.na(r$median)) c(r$note, rep("", 4L + length(the_results$columns)))
               else c(time_text(r$median), time_text(r$min), time_text(r$max), r$runs, ratio_text(r$ratio),
                      vapply(the_results$columns, function(k) if (is.na(r[[k]])) "" else time_text(r[[k]]), ""))
    paste0("| ", paste(c(if (i == 1L) r$work else "", r$who, figures), collapse = " | "), " |")
  }, "")
}

# One line of the table of goals: ours, the best of the others, the limit and the distance to it.
goal_line <- function(title, found, goal, met, aside, rest) {
  m <- stats::setNames(found$median, found$who)
  others <- m[!is_ours(names(m)) & !is_limit(names(m)) & !is.na(m) & !names(m) %in% aside]
  limit <- m[is_limit(names(m)) & !is.na(m)]
  if (length(limit)) limit <- limit[1L]
  text <- function(x) if (length(x)) paste(time_text(x[[1L]]), names(x)) else ""
  ok <- if (!quick && !is.null(met) && !is.na(m[[1L]])) tryCatch(met(m), error = function(e) NA) else NA
  paste0("| ", paste(c(title, if (is.na(m[[1L]])) "failed" else time_text(m[[1L]]),
    if (length(others)) paste0(text(others[which.min(others)]), " (", ratio_text(m[[1L]] / min(others)), ")") else "",
    sub("limit: ?", "", text(limit)), if (length(limit)) ratio_text(m[[1L]] / limit) else "", goal,
    if (is.na(ok)) "" else if (ok) "yes" else "no", rest), collapse = " | "), " |")
}

ratio_text <- function(r) if (is.na(r)) "" else sprintf(if (r >= 99.5) "%.0f" else if (r >= 9.95) "%.1f" else "%.2f", r)

time_text <- function(s) {
  if (s < 9.5e-6) sprintf("%.2f us", s * 1e6) else if (s < 0.95e-3) sprintf("%.0f us", s * 1e6)
  else if (s < 0.0095) sprintf("%.1f ms", s * 1e3) else if (s < 0.9995) sprintf("%.0f ms", s * 1e3) else sprintf("%.2f s", s)
}

machine_text <- function() {
  cpu <- if (file.exists("/proc/cpuinfo")) grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1L]
  sprintf("%s %s, %d processors%s, %.0f GiB; %s", Sys.info()[["sysname"]], Sys.info()[["release"]], sharedmem::cpu_count(),
          if (is.null(cpu) || is.na(cpu)) "" else paste0(" (", trimws(sub("^[^:]*:", "", cpu)), ")"),
          sharedmem::total_memory() / 2^30, R.version.string)
}

# The theme as lines of Markdown.
section_lines <- function(theme, seconds, load) {
  extra <- column_heads[the_results$columns]
  head <- c("work", "who", "median", "least", "most", "runs", "ratio", extra)
  c(sprintf("<!-- begin %s -->", theme), sprintf("## %s", the_results$title), "",
    if (length(the_results$text)) c(the_results$text, ""),
    if (length(the_results$goals))
      c("| goal of | ours | best of the others (ours to it) | limit | ours to it | goal | met | what makes up the rest |",
        "| --- | ---: | --- | --- | ---: | --- | --- | --- |",
        the_results$goals, ""),
    sprintf("![%s: times relative to ours](figures/%s.png)", the_results$title, theme), "",
    paste0("| ", paste(head, collapse = " | "), " |"),
    paste0("| ", paste(c("---", "---", rep("---:", length(head) - 2L)), collapse = " | "), " |"),
    unlist(lapply(the_results$rows, row_lines)),
    if (length(the_results$tail)) c("", the_results$tail),
    "", sprintf("%s; %.0f s; load average at the start %s. `Rscript bench/bench.R %s`", format(Sys.Date()), seconds, load, theme),
    sprintf("<!-- end %s -->", theme))
}

# ---- memory ----

# Starts a process that samples, every 10 ms, the memory of this process and its descendants (Pss: a page that k of them
# map counts as 1 / k in each). Gives a function that ends it and says how many MiB
# there were at first and at most.
start_sampler <- function() {
  files <- tempfile(c("peak", "stop"))
  loop <- sprintf("source('bench/sampler.R'); sample_memory(%d, '%s', '%s')", Sys.getpid(), files[1L], files[2L])
  system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", "-e", shQuote(loop)), wait = FALSE)
  wait_for(files[1L])
  function() {
    file.create(files[2L])
    wait_for(paste0(files[1L], ".end"))
    as.numeric(readLines(files[1L]))
  }
}
wait_for <- function(file, most = 20) {
  until <- now() + most
  while (!file.exists(file) && now() < until) Sys.sleep(0.005)
}

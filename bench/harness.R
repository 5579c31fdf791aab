# The benchmarks' tools: interleaved runs, medians, Markdown tables. Sourced by bench/bench.R.
#
# A theme is a file bench/theme-*.R that calls section() and work(). Contenders of one piece of work run
# in turn, round after round, so that a noisy machine is noisy for all of them; the first round warms
# up and does not count. A contender of a package that is not installed is named as missing.

quick <- "--quick" %in% commandArgs(TRUE)

# `full` in a full run, `small` in a quick one.
size <- function(full, small) if (quick) small else full

# A contender that needs a package: its function, or the package's name where it is missing.
peer <- function(package, f) {
  if (requireNamespace(package, quietly = TRUE)) f else structure(list(package = package), class = "missing_peer")
}

now <- function() as.numeric(Sys.time())      # microseconds; proc.time() has milliseconds

# Times each function of the named list `contenders`; gives a data frame with one row each: who,
# median, min, max (seconds), ratio (median over that of the first), times. `check`: a function of
# one result that must give TRUE for every contender. `prepare`: called before each run, untimed.
compare <- function(contenders, times = size(7L, 3L), check = function(x) TRUE, prepare = function() NULL) {
  missing <- vapply(contenders, inherits, NA, "missing_peer")
  present <- contenders[!missing]
  seconds <- matrix(NA_real_, times, length(present), dimnames = list(NULL, names(present)))
  for (round in 0:times) {
    for (who in sample(names(present))) {
      prepare()
      gc()
      start <- now()
      value <- present[[who]]()
      end <- now()
      if (!isTRUE(check(value))) stop(who, " gives a wrong result")
      value <- NULL
      if (round > 0L) seconds[round, who] <- end - start
    }
  }
  out <- data.frame(who = names(contenders), median = NA_real_, min = NA_real_, max = NA_real_,
                    ratio = NA_real_, times = times, row.names = NULL)
  out$median[!missing] <- apply(seconds, 2L, stats::median)
  out$min[!missing] <- apply(seconds, 2L, min)
  out$max[!missing] <- apply(seconds, 2L, max)
  out$ratio <- out$median / out$median[1L]
  out
}

# For work that is over in microseconds: a function that runs `f` n times. Times are then of all n.
repeatedly <- function(n, f) function() {
  for (k in seq_len(n)) value <- f()
  value
}

the_results <- new.env()
the_results$lines <- character()
put <- function(...) {
  line <- paste0(...)
  cat(line, "\n", sep = "")
  the_results$lines <- c(the_results$lines, line)
}

section <- function(title, text = NULL) {
  put("")
  put("## ", title)
  put("")
  if (length(text)) {
    put(text)
    put("")
  }
  put("| work | who | median | min | max | ratio |")
  put("| --- | --- | ---: | ---: | ---: | ---: |")
}

# Measures one piece of work and writes its rows. Further arguments are compare()'s.
work <- function(title, contenders, ...) {
  result <- tryCatch(compare(contenders, ...), error = function(e) {
    put("| ", title, " | failed: ", gsub("\n", " ", conditionMessage(e)), " | | | | |")
    NULL
  })
  if (is.null(result)) return(invisible())
  for (i in seq_len(nrow(result))) {
    r <- result[i, ]
    put("| ", if (i == 1L) title, " | ", r$who, " | ",
        if (is.na(r$median)) "missing | | | |"
        else sprintf("%s | %s | %s | %.2f |", time_text(r$median), time_text(r$min), time_text(r$max), r$ratio))
  }
  invisible(result)
}

time_text <- function(s) {
  if (s < 0.0095) sprintf("%.1f ms", s * 1e3) else if (s < 0.9995) sprintf("%.0f ms", s * 1e3) else sprintf("%.2f s", s)
}

machine_text <- function() {
  cpu <- if (file.exists("/proc/cpuinfo")) grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1L]
  sprintf("%s, %d processors%s, %.0f GiB; %s", Sys.info()[["sysname"]], sharedmem::cpu_count(),
          if (is.null(cpu) || is.na(cpu)) "" else paste0(" (", trimws(sub("^[^:]*:", "", cpu)), ")"),
          sharedmem::total_memory() / 2^30, R.version.string)
}

# Run by start_sampler() of bench/harness.R, in a process beside the one that is measured.

process_memory <- function(pid) {
  lines <- tryCatch(suppressWarnings(readLines(sprintf("/proc/%d/smaps_rollup", pid))), error = function(e) character())
  line <- grep("^Pss:", lines, value = TRUE)
  if (length(line)) as.numeric(gsub("[^0-9]", "", line)) else 0
}

descendants <- function(pid) {
  children <- tryCatch(suppressWarnings(scan(sprintf("/proc/%d/task/%d/children", pid, pid), quiet = TRUE)), error = function(e) numeric())
  children <- setdiff(children, Sys.getpid())
  c(children, unlist(lapply(children, descendants)))
}

# Writes the file `peak` when it has taken its first sample; when the file `stop` is there, the MiB of the first sample and
# of the largest.
sample_memory <- function(pid, peak, stop) {
  most <- first <- process_memory(pid)
  writeLines("0", peak)
  while (!file.exists(stop) && file.exists(sprintf("/proc/%d", pid))) {
    most <- max(most, sum(vapply(c(pid, descendants(pid)), process_memory, 0)))
    Sys.sleep(0.01)
  }
  writeLines(format(c(first, most) / 1024), peak)
  invisible(file.create(paste0(peak, ".end")))
}

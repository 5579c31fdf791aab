# Measures the package beside base R and whichever peers are installed, theme by theme, and writes bench/RESULTS.md with
# a plot a theme in bench/figures/. With options it writes to .build/bench/ instead.
#
#   Rscript bench/bench.R [--quick] [--runs=K] [THEME...]
#
# --quick: small and few, under two minutes altogether. --runs=K: at most K runs of each contender, to try out a theme.
# THEME is the name of a file, bench/theme-THEME.R; without one all run. Each runs in a process of its own, and its
# section of RESULTS.md takes the place of the one before; the others' stay.

library(sharedmem)
for (file in c("harness", "figure", "floors", "peers")) source(sprintf("bench/%s.R", file))

reading_order <- c("map", "heap", "results", "lock", "integral", "arrays", "arrays-memory", "argsort", "kernels", "region",
                   "trace", "neighbours", "npy")
there <- sub("^theme-(.*)\\.R$", "\\1", list.files("bench", "^theme-.*\\.R$"))
there <- c(intersect(reading_order, there), setdiff(there, reading_order))
out_dir <- if (length(options_given)) ".build/bench" else "bench"
arguments <- commandArgs(TRUE)

# In the process of one theme: measures, draws, leaves its section in the file `part`. `dll`: the built floors.
run_theme <- function(theme, part, dll) {
  start <- now()
  load <- if (file.exists("/proc/loadavg")) sub(" .*", "", readLines("/proc/loadavg")) else "unknown"
  if (file.exists(dll)) use_floors(dll)
  failure <- tryCatch({
    source(file.path("bench", sprintf("theme-%s.R", theme)), local = new.env())
    NULL
  }, error = conditionMessage)
  if (!is.null(failure)) put("The theme ended early: ", failure)
  tryCatch(stop_daemons(), error = function(e) NULL)
  writeLines(section_lines(theme, now() - start, load), part)
  dir.create(file.path(out_dir, "figures"), showWarnings = FALSE, recursive = TRUE)
  draw_theme(the_results$rows, the_results$title, file.path(out_dir, "figures", paste0(theme, ".png")))
}

head_lines <- function() {
  packages <- c("sharedmem", "future.apply", "BiocParallel", "foreach", "doParallel", "doMC", "future", "pbmcapply", "bettermc", "mirai",
                "mori",
                "synchronicity", "interprocess", "filelock", "bigmemory", "ff", "shard", "SharedObject", "data.table", "RcppCNPy")
  here <- nzchar(vapply(packages, function(p) system.file(package = p), ""))
  versions <- vapply(packages[here], function(p) format(packageVersion(p)), "")
  pages <- "/sys/kernel/mm/transparent_hugepage/"
  setting <- function(file) sub(".*\\[(.*)\\].*", "\\1", readLines(paste0(pages, file), 1L))
  c("# Results", "",
    paste0(machine_text(), if (dir.exists(pages)) 
      sprintf("; huge pages: %s, in shared memory %s", setting("enabled"), setting("shmem_enabled")), "."),
    "", paste0("Versions: ", paste(packages[here], versions, collapse = ", "),
               if (!is.null(python <- numpy_python())) paste(", numpy", numpy_version(python)), "."),
    if (any(!here)) c("", paste0("Not installed here: ", paste(packages[!here], collapse = ", "), ".")),
    "", "Made by `make bench`. Contenders take turns, round after round, in one process a theme; two workers unless said otherwise.",
    "`runs` is how many runs the median is of: a contender that takes many seconds has fewer. The ratio is to the first row of",
    "its work, which is ours; below 1 is faster than ours. Limits are measured in the same run (`bench/*floor*.c`) or follow from",
    "the work. What makes up the rest is from `perf record` of the work alone, on a machine as this, in November 2026.", "")
}

# Puts the sections `parts` (theme -> lines) into RESULTS.md in place of those of the same themes.
write_results <- function(parts) {
  file <- file.path(out_dir, "RESULTS.md")
  old <- if (file.exists(file)) readLines(file) else character()
  sections <- c(there, "scale") # the last one's figures are bench/scale.R's
  for (theme in setdiff(sections, names(parts))) {
    from <- match(sprintf("<!-- begin %s -->", theme), old)
    to <- match(sprintf("<!-- end %s -->", theme), old)
    if (!is.na(from) && !is.na(to) && from < to) parts[[theme]] <- old[from:to]
  }
  writeLines(c(head_lines(), unlist(lapply(intersect(sections, names(parts)), function(theme) c(parts[[theme]], "")))), file)
  file
}

run_all <- function(themes) {
  unknown <- setdiff(themes, there)
  if (length(unknown)) stop("no such theme: ", paste(unknown, collapse = ", "), "; there are ", paste(there, collapse = ", "))
  dir.create(out_dir, showWarnings = FALSE, recursive = TRUE)
  start <- now()
  dll <- build_c("bench/floors.c", shared = TRUE)
  for (theme in if (length(themes)) themes else there) {
    began <- now()
    part <- tempfile("part")
    status <- system2(file.path(R.home("bin"), "Rscript"),
                      c("bench/bench.R", options_given, "--part", part, if (is.null(dll)) "none" else dll, theme),
                      timeout = size(1200, 200))
    if (!file.exists(part)) {
      the_results$title <- theme
      the_results$rows <- list()
      the_results$tail <- sprintf("The process of this theme ended with status %d (124: it took too long).", status)
      writeLines(section_lines(theme, now() - began, "unknown"), part)
    }
    file <- write_results(stats::setNames(list(readLines(part)), theme))
    unlink(part)
    cat(sprintf("-- %s: %.0f s\n", theme, now() - began))
  }
  cat(sprintf("\n%s, %.0f s\n", file, now() - start))
}

if ("--part" %in% arguments) {
  rest <- arguments[match("--part", arguments) + 1:3]
  run_theme(rest[3L], rest[1L], rest[2L])
} else {
  run_all(setdiff(arguments, options_given))
}

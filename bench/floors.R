# Physical limits: bench/floors.c, built into a temporary directory and loaded. Sourced by bench/bench.R.

floors <- new.env()
floors$dll <- NULL

compiler_command <- function() {
  config <- function(what) tryCatch(system2(file.path(R.home("bin"), "R"), c("CMD", "config", what), stdout = TRUE, stderr = FALSE),
                                    error = function(e) "", warning = function(w) "")
  cc <- strsplit(config("CC"), " ")[[1L]]
  if (length(cc) && nzchar(Sys.which(cc[1L]))) c(cc, "-std=gnu11", "-O2", "-pthread", config("--cppflags"))
}

# Builds a program, or with `shared` an object to load, from C files of bench/ and src/; its path, or NULL.
build_c <- function(sources, shared = FALSE) {
  cc <- compiler_command()
  if (is.null(cc) || !all(file.exists(sources))) return(NULL)
  out <- tempfile("floor", fileext = if (shared) .Platform$dynlib.ext else "")
  status <- system2(cc[1L], c(cc[-1L], if (shared) c("-shared", "-fPIC"), sources, "-o", out))
  if (status == 0L && file.exists(out)) out
}

use_floors <- function(dll) {
  if (is.null(dll)) return(invisible())
  loaded <- dyn.load(dll)
  for (entry in c("fork", "fork_alone", "memcpy", "fresh", "sum", "sum_file", "pass", "gather", "integral", "null", "read", "write", "lock",
                  "unlock", "strings", "increments"))
    floors[[entry]] <- getNativeSymbolInfo(paste0("floor_", entry), loaded)$address
  floors$dll <- dll
}

have_floors <- function() !is.null(floors$dll)

# A contender that is a limit: `f` where the floors could be built.
floor_of <- function(f) if (have_floors()) f else absent("no C compiler")
# The same, for an entry that gives its seconds.
timed_floor <- function(entry, ...) {
  force(list(...))
  floor_of(function() own_time(.Call(floors[[entry]], ...)))
}

# `nbytes` copied once into fresh pages by 2 threads: 4 KiB pages, huge pages, shared pages.
copy_floor <- function(nbytes, pages = c("small", "huge", "shared")) {
  timed_floor("fresh", nbytes, 2L, match(match.arg(pages), c("small", "huge", "shared")) - 1L)
}

# ---- numpy, where a Python on the path has it; PYTHON in the environment names one ----

numpy_python <- function() {
  works <- function(p) nzchar(p) && suppressWarnings(system2(p, c("-c", shQuote("import numpy")), stdout = FALSE, stderr = FALSE)) == 0L
  Find(works, unique(c(Sys.getenv("PYTHON"), Sys.which(c("python3", "python")), "/usr/bin/python3")))
}
numpy_version <- function(python) system2(python, c("-c", shQuote("import numpy; print(numpy.__version__)")), stdout = TRUE)

# A contender that runs `code` on x, the values of type `type` in the file `path`, and times itself.
numpy <- function(python, path, type, code) {
  if (is.null(python)) return(absent("numpy is not installed"))
  load <- if (is.null(type)) "" else sprintf("x=np.fromfile('%s','%s')\n", path, type)
  program <- sprintf("import numpy as np, time\n%st=time.perf_counter()\n%s\nprint(time.perf_counter()-t)", load, code)
  function() own_time(as.numeric(system2(python, c("-c", shQuote(program)), stdout = TRUE)))
}

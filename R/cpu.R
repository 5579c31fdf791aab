# How many processors and how much memory this process may use.

# Where a user or a scheduler may have said how many processors to use, in the order in which they count.
np_options <- c("sharedmem.np", "mc.cores")
np_variables <- c("MC_CORES", "OMP_NUM_THREADS", "PBS_NUM_PPN", "SLURM_CPUS_PER_TASK", "NSLOTS", "LSB_DJOB_NUMPROC")

# A positive whole number, or NULL, with a warning where there is a value that is none.
count_from <- function(name, value) {
  n <- if (is.character(value)) number_in(value) else value
  if (is.numeric(n) && length(n) == 1L && !is.na(n) && n >= 1 && n == floor(n) && n <= .Machine$integer.max) return(as.integer(n))
  warn_class("sharedmem_value_warning", sprintf("%s is %s, not a positive number: passed over", name, describe_value(value)), name = name)
  NULL
}

option_count <- function(name) if (!is.null(value <- getOption(name))) count_from(sprintf("options(%s)", name), value)

# Only the first of "4,2" counts.
env_count <- function(name) {
  text <- Sys.getenv(name, "")
  if (nzchar(text)) count_from(name, if (name == "OMP_NUM_THREADS") sub_bytes(",.*$", "", text) else text)
}

# Once a session: OMP_NUM_THREADS=1, which many clusters set for the sake of BLAS, hides what the scheduler gives.
tell_hidden_cores <- function() {
  if (the$session$cores_told) return()
  given <- Sys.getenv(setdiff(np_variables, c("MC_CORES", "OMP_NUM_THREADS")))
  n <- number_in(given)
  if (!any(n > 1, na.rm = TRUE)) return()
  the$session$cores_told <- TRUE
  best <- names(given)[which.max(n)]
  told <- "OMP_NUM_THREADS is 1, so one worker is used, though %s is %s: options(sharedmem.np = %s) or MapReduce(np = %s) uses them all"
  inform_class("sharedmem_cores_message", sprintf(told, best, given[[best]], given[[best]], given[[best]]))
}

read_file <- function(path) .Call(ffi_file_lines, path)

# Processors this process may run on ("0-3,8"), or NULL.
affinity_count <- function(status = read_file("/proc/self/status")) {
  line <- grep("^Cpus_allowed_list:", status, value = TRUE)
  if (!length(line)) return(NULL)
  parts <- strsplit(trimws(sub("^Cpus_allowed_list:", "", line[1L])), ",", fixed = TRUE)[[1L]]
  ends <- lapply(strsplit(parts, "-", fixed = TRUE), as.numeric)
  n <- sum(vapply(ends, function(e) if (length(e) == 2L) e[2L] - e[1L] + 1 else 1, 0))
  if (is.na(n) || n < 1) NULL else as.integer(n)
}

# Directories of this process's cgroup and those above it, for a controller ("cpu", "memory"); v2 and v1.
cgroup_dirs <- function(controller, root = "/sys/fs/cgroup", self = read_file("/proc/self/cgroup")) {
  dirs <- character()
  for (line in self) {
    f <- strsplit(line, ":", fixed = TRUE)[[1L]]
    if (length(f) < 3L) next
    path <- paste(f[-(1:2)], collapse = ":")
    base <- if (f[2L] == "") c(root, file.path(root, "unified"))
            else if (controller %in% strsplit(f[2L], ",", fixed = TRUE)[[1L]]) file.path(root, c(f[2L], controller))
    repeat {
      dirs <- c(dirs, if (length(base)) paste0(base, if (path == "/") "" else path))
      if (path %in% c("/", "", ".")) break
      path <- dirname(path)
    }
  }
  unique(dirs)
}

# Smallest CPU quota of the cgroups, in processors, or Inf.
quota_count <- function(dirs = cgroup_dirs("cpu")) {
  quota <- Inf
  for (d in dirs) {
    v2 <- strsplit(c(read_file(file.path(d, "cpu.max")), "")[1L], " ", fixed = TRUE)[[1L]]
    if (length(v2) == 2L && v2[1L] != "max") quota <- min(quota, as.numeric(v2[1L]) / as.numeric(v2[2L]), na.rm = TRUE)
    q <- suppressWarnings(as.numeric(c(read_file(file.path(d, "cpu.cfs_quota_us")), NA)[1L]))
    p <- suppressWarnings(as.numeric(c(read_file(file.path(d, "cpu.cfs_period_us")), NA)[1L]))
    if (!is.na(q) && !is.na(p) && q > 0 && p > 0) quota <- min(quota, q / p)
  }
  quota
}

#' Number of processors to use
#'
#' Gives the number of processors that this process may use: the first of `options(sharedmem.np = )`, `options(mc.cores = )`
#' and the environment variables `MC_CORES`, `OMP_NUM_THREADS` (its first number), `PBS_NUM_PPN`, `SLURM_CPUS_PER_TASK`, `NSLOTS` and
#' `LSB_DJOB_NUMPROC` that holds a positive number; otherwise the processors in its CPU affinity, at most its cgroup's CPU
#' quota, rounded down. A value that is not a positive number is passed over with a warning of class `sharedmem_warning`. Where
#' `OMP_NUM_THREADS=1` hides a scheduler's larger number, one message a session says so.
#'
#' Under `R CMD check` (`_R_CHECK_LIMIT_CORES_`), maps use at most two workers whatever this gives.
#'
#' @return A positive integer.
#' @source `sharedmem.cpu_count` of the Python package; Slurm, affinity and quota are additions.
#' @seealso [MapReduce()], [total_memory()]
#' @examples
#' cpu_count()
#' @export
cpu_count <- function() {
  for (name in np_options) if (!is.null(n <- option_count(name))) return(n)
  for (name in np_variables) if (!is.null(n <- env_count(name))) {
    if (n == 1L && name == "OMP_NUM_THREADS") tell_hidden_cores()
    return(n)
  }
  n <- affinity_count()
  if (is.null(n)) n <- parallel::detectCores()
  if (is.na(n)) n <- 1L
  max(1L, as.integer(floor(min(n, quota_count()))))
}

#' Memory of this machine
#'
#' Gives the memory this process may use in bytes: the machine's, or its cgroup's limit where that is lower.
#'
#' @return A number: bytes. `NA` where the system does not say.
#' @source `sharedmem.total_memory` of the Python package; the cgroup limit is an addition.
#' @seealso [cpu_count()]
#' @examples
#' total_memory() / 2^30 # GiB
#' @export
total_memory <- function() {
  line <- grep("^MemTotal:", read_file("/proc/meminfo"), value = TRUE)
  total <- if (length(line)) as.numeric(sub("^MemTotal: *([0-9]+) kB.*", "\\1", line[1L])) * 1024
           else tryCatch(as.numeric(system2("sysctl", c("-n", "hw.memsize"), stdout = TRUE, stderr = FALSE)),
                         error = function(e) NA_real_, warning = function(w) NA_real_)
  for (d in cgroup_dirs("memory"))
    for (f in c("memory.max", "memory.limit_in_bytes")) {
      limit <- suppressWarnings(as.numeric(c(read_file(file.path(d, f)), NA)[1L]))
      if (!is.na(limit) && limit > 0) total <- min(total, limit, na.rm = TRUE)
    }
  total
}

# The number of workers for a request of the user (NULL: cpu_count()), within what this process may fork.
resolve_np <- function(np) {
  if (is.null(np)) np <- cpu_count()
  limit <- tolower(Sys.getenv("_R_CHECK_LIMIT_CORES_", ""))
  if (nzchar(limit) && !limit %in% c("false", "no", "0")) np <- min(np, 2L)
  as.integer(min(np, the$worker$budget))
}

# RStudio's and Positron's R sessions hang when they are forked.
fork_is_safe <- function() {
  wish <- getOption("sharedmem.fork")
  if (isTRUE(wish) || in_worker() || in_server()) return(TRUE)
  !isFALSE(wish) && !is_gui_session()
}

# A fork server for a session that cannot be forked, which one message says; NULL where there can be none, so that work is done in the
# session.
server_instead <- function() {
  server <- tryCatch(need_server(), sharedmem_server_error = function(e) e)
  told <- the$session$fork_told
  the$session$fork_told <- TRUE
  if (inherits(server, "error")) {
    if (!told) warn_class("sharedmem_fork_warning",
                          sprintf("this session cannot be forked (%s), and the work runs in one process, since %s", unforkable(),
                                  message_of(server)))
    return(NULL)
  }
  if (!told) inform_class("sharedmem_server_message",
                          paste0("this session cannot be forked (", unforkable(), "): workers are forked by process ", server$pid,
                                 " instead, which fetches variables from here as they need them; see ?fork_server"))
  server
}

unforkable <- function()
  if (isFALSE(getOption("sharedmem.fork"))) "options(sharedmem.fork = FALSE)" else paste(.Platform$GUI, "is known to hang then")

is_gui_session <- function(gui = .Platform$GUI, env = Sys.getenv())
  identical(gui, "RStudio") || identical(gui, "Positron") ||
    (interactive() && identical(env["POSITRON"][[1L]], "1"))

# What a process holds: children, descriptors, shared mappings, temporary files, names in /dev/shm.

# One row a process: pid, ppid, pgid, session, state. From /proc, or from ps where there is none (sessions are told as groups).
process_table <- function() {
  if (!dir.exists("/proc/self")) {
    p <- utils::read.table(text = system("ps -A -o pid=,ppid=,pgid=,state=", intern = TRUE),
                           col.names = c("pid", "ppid", "pgid", "state"))
    p$state <- substr(p$state, 1L, 1L)
    p$session <- p$pgid
    return(p)
  }
  pids <- grep("^[0-9]+$", list.files("/proc"), value = TRUE)
  # nothing where the process has gone meanwhile; a handler that left at the warning of file() would leave its connection
  stat <- lapply(pids, function(pid)
    tryCatch(suppressWarnings(readLines(file.path("/proc", pid, "stat"), n = 1L, warn = FALSE)), error = function(e) NULL))
  names(stat) <- pids
  stat <- unlist(stat)
  rest <- strsplit(sub("^.*\\) ", "", stat), " ")      # the command's name may hold anything
  data.frame(pid = as.integer(names(stat)), ppid = as.integer(vapply(rest, `[`, "", 2L)),
             pgid = as.integer(vapply(rest, `[`, "", 3L)), session = as.integer(vapply(rest, `[`, "", 4L)),
             state = vapply(rest, `[`, "", 1L))
}

# Every process that runs; a zombie, or one that is being reaped, does not.
live_processes <- function() {
  p <- process_table()
  p[!p$state %in% c("Z", "X"), ]
}
live_pids <- function() live_processes()$pid

# Live processes of a session, its leader (the shell that run_script() starts) and zombies apart. Workers lead groups of their own.
group_members <- function(pgid) {
  p <- live_processes()
  p$pid[p$session == pgid & p$pid != pgid]
}

# Children of this process. A zombie is one too: it has not been reaped.
child_pids <- function() {
  p <- process_table()
  p$pid[p$ppid == Sys.getpid()]
}

# Open descriptors as "number target". The one that lists the directory is left out.
open_fds <- function() {
  fd <- list.files("/proc/self/fd", full.names = TRUE)
  target <- Sys.readlink(fd)
  keep <- !is.na(target) & nzchar(target) & !grepl("^/proc/[0-9]+/fd$", target)
  paste(basename(fd), target)[keep]
}

shared_mappings <- function() {
  if (!file.exists("/proc/self/maps")) return(character())
  maps <- readLines("/proc/self/maps", warn = FALSE)
  maps <- grep("/memfd:|/dev/shm/|/dev/zero \\(deleted\\)", maps, value = TRUE)
  sub("^([^ ]+).* (/.*)$", "\\1 \\2", maps)
}

# Everything that a call must not leave behind. Collects first, so that finalizers have run.
snapshot_resources <- function() {
  gc(full = TRUE)
  gc(full = TRUE)
  list(children = child_pids(), fds = open_fds(), mappings = shared_mappings(),
       files = list.files(tempdir(), all.files = TRUE, no.. = TRUE),
       shm = list.files("/dev/shm", "^sm[0-9]+[.]")) # where there is no memfd; what others have there comes and goes
}

# What there is now and was not in `before`, as a list of character vectors; empty if nothing.
left_since <- function(before, what = names(before)) {
  now <- snapshot_resources()
  left <- Map(function(a, b) as.character(setdiff(b, a)), before[what], now[what])
  # one map's control memory is kept for the next, not always the same
  if (length(now$mappings) <= length(before$mappings)) left$mappings <- left$mappings[0L]
  left[lengths(left) > 0L]
}

# Passes if nothing of `what` is left within `timeout` seconds (a child may need a moment to be gone).
expect_nothing_left <- function(before, what = names(before), timeout = 2) {
  left <- left_since(before, what)
  if (length(left)) wait_until(length(left <- left_since(before, what)) == 0L, timeout)
  testthat::expect(length(left) == 0L, paste0("left behind:\n", paste0(
    rep(names(left), lengths(left)), ": ", unlist(left), collapse = "\n")))
  invisible(left)
}

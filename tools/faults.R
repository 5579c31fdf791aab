# Every call of the system that sharedmem.so makes in some small programs fails once, by tools/faults/shim.c: the program has to give the
# right result or an R error of the package's, to leave nothing, to end, and the session has to go on. A call that is only late must
# change nothing.
#
#   Rscript tools/faults.R [--seconds=N] [--refused=N] [--programs=NAME,NAME] [--report]
#
# --seconds: stops after so long, having tried cases in a random order (whose seed it prints). Then the same programs run in sessions
# to which the kernel refuses a call altogether (tools/faults/refuse.c); --refused: at most so many of these sessions. --report: writes
# the section "Faults" of bench/RELIABILITY.md. COUNTS: see tools/counts.sh. Last line: `N passed, N failed, N skipped`.
args <- commandArgs(TRUE)
if (!file.exists("/proc/self/fd") || !nzchar(Sys.which("setsid"))) {
  cat("skipped faults: they need Linux, /proc and setsid\n0 passed, 0 failed, 1 skipped\n")
  if (nzchar(Sys.getenv("COUNTS"))) writeLines("0 0 1", Sys.getenv("COUNTS"))
  quit()
}
option <- function(name) sub(paste0("^--", name, "=?"), "", grep(paste0("^--", name), args, value = TRUE))
limit <- if (length(option("seconds"))) as.numeric(option("seconds")) else Inf
stall <- 25 # seconds without a word: the program hangs
shim <- file.path(getwd(), ".build", "faults", "shim.so")
dir <- dirname(shim)
began <- proc.time()[["elapsed"]]
passed_since <- function() proc.time()[["elapsed"]] - began

errors <- list(malloc = "ENOMEM", calloc = "ENOMEM", realloc = "ENOMEM", fork = c("EAGAIN", "ENOMEM"), mmap64 = "ENOMEM",
               memfd_create = c("EMFILE", "EPERM"), ftruncate64 = c("EINTR", "ENOSPC"), fallocate64 = c("ENOSPC", "EINTR", "EOPNOTSUPP"),
               write = c("EINTR", "EPIPE", "ENOSPC", "EAGAIN"), read = c("EINTR", "EIO", "EAGAIN"), socketpair = "EMFILE",
               sendmsg = c("EINTR", "EPIPE", "EAGAIN", "EPERM"),
               recvmsg = c("EINTR", "EAGAIN", "EMFILE"), poll = c("EINTR", "ENOMEM"),
               pidfd_open = c("EMFILE", "EPERM", "ENOSYS"), process_vm_readv = c("EPERM", "ESRCH"), pthread_create = "EAGAIN",
               open64 = c("EMFILE", "ENOENT"), pipe2 = "EMFILE", pread64 = c("EINTR", "EIO"), pwrite64 = c("EINTR", "ENOSPC"),
               shm_open = "EACCES", pthread_mutex_init = "ENOMEM", madvise = "EINVAL", send = c("EINTR", "EPIPE", "EAGAIN"))
errors <- c(errors, kill = "LATE")
waits <- setdiff(names(errors), c("malloc", "calloc", "realloc"))
errors[waits] <- lapply(errors[waits], union, "LATE") # 30 ms before the call and 30 ms after it
numbers <- c(LATE = 0L, EPERM = 1L, ENOENT = 2L, ESRCH = 3L, EINTR = 4L, EIO = 5L, EAGAIN = 11L, ENOMEM = 12L, EACCES = 13L, EINVAL = 22L,
             EMFILE = 24L,
             ENOSPC = 28L, EPIPE = 32L, ENOSYS = 38L, EOPNOTSUPP = 95L)
programs <- c("map", "retries", "region", "failure", "served", "background", "array", "argsort")
if (length(option("programs"))) programs <- strsplit(option("programs"), ",")[[1L]]

group_kill <- function(pid) system(sprintf("kill -s KILL -- -%d 2>/dev/null", pid))

# Runs the driver over a plan, `under` a command; gives its lines as a data frame with verdict, calls, failed, text. Cases that hang or
# end the process are told as HANG and DIED, and a new process goes on behind them.
run_plan <- function(plan, until = Inf, under = "") {
  plan$verdict <- NA_character_
  plan$calls <- plan$failed <- NA_integer_
  plan$text <- ""
  from <- 1L
  while (from <= nrow(plan) && passed_since() < until) {
    files <- file.path(dir, c("plan", "log", "out", "pid"))
    unlink(files)
    write.table(transform(plan[from:nrow(plan), c("program", "fn", "depth", "at", "errno")], errno = ifelse(at > 0, numbers[errno], 0L)),
                files[1L], col.names = FALSE, row.names = FALSE, quote = FALSE)
    system(sprintf("setsid sh -c 'echo $$ >%s; exec %s env LD_PRELOAD=%s \"%s\" --vanilla tools/faults/driver.R %s %s' >%s 2>&1 &",
                   files[4L], under, shim, file.path(R.home("bin"), "Rscript"), files[1L], files[2L], files[3L]))
    seen <- 0L
    heard <- passed_since()
    ended <- NA_character_
    repeat {
      Sys.sleep(0.1)
      lines <- if (file.exists(files[2L])) readLines(files[2L], warn = FALSE) else character()
      if (length(lines) > seen) {
        seen <- length(lines)
        heard <- passed_since()
      }
      pid <- if (file.exists(files[4L])) as.integer(readLines(files[4L])) else NA
      alive <- is.na(pid) || dir.exists(paste0("/proc/", pid)) && !any(grepl("^State:\tZ", readLines(sprintf("/proc/%d/status", pid))))
      if (any(lines == "done")) break
      if (!alive) { ended <- "DIED"; break }
      if (passed_since() - heard > stall) { ended <- "HANG"; break }
      if (passed_since() > until) break
    }
    if (!is.na(pid)) group_kill(pid)
    lines <- if (file.exists(files[2L])) readLines(files[2L], warn = FALSE) else character()
    at <- as.integer(sub("^end ([0-9]+)\t.*", "\\1", grep("^end ", lines, value = TRUE)))
    parts <- strsplit(sub("^end [0-9]+\t", "", grep("^end ", lines, value = TRUE)), "\t")
    for (k in seq_along(at)) {
      i <- from + at[k] - 1L
      plan$verdict[i] <- parts[[k]][1L]
      plan$calls[i] <- as.integer(parts[[k]][2L])
      plan$failed[i] <- as.integer(parts[[k]][3L])
      plan$text[i] <- if (length(parts[[k]]) > 3L) parts[[k]][4L] else ""
    }
    begun <- suppressWarnings(max(c(0L, as.integer(sub("begin ", "", grep("^begin ", lines, value = TRUE))))))
    if (!is.na(ended) && begun == 0L && under == "")
      stop("the programs do not run under the shim:\n", paste(readLines(files[3L]), collapse = "\n"))
    if (!is.na(ended)) { # all of them, where they did not even begin
      if (begun == 0L) begun <- nrow(plan)
      plan$verdict[from + begun - 1L] <- ended
      plan$text[from + begun - 1L] <- paste(utils::tail(readLines(files[3L], warn = FALSE), 3L), collapse = " / ")
    }
    from <- from + max(begun, 1L)
    if (any(lines == "done")) break
  }
  plan
}

dir.create(dir, showWarnings = FALSE, recursive = TRUE)
if (system(sprintf("cc -O2 -Wall -shared -fPIC tools/faults/shim.c -o %s -ldl", shim)) != 0L) stop("tools/faults/shim.c does not compile")
counted <- run_plan(data.frame(program = programs, fn = paste(names(errors), collapse = ","), depth = 0L, at = 0L, errno = ""))
counts <- do.call(rbind, lapply(seq_along(programs), function(k) {
  parts <- strsplit(strsplit(counted$text[k], " ")[[1L]], ":")
  data.frame(program = programs[k], fn = vapply(parts, `[`, "", 1L), depth = as.integer(vapply(parts, `[`, "", 2L)),
             calls = as.integer(vapply(parts, `[`, "", 3L)))
}))
counts <- counts[counts$calls > 0L, ]
# every call of a few, some of many
seed <- if (nzchar(Sys.getenv("FAULTS_SEED"))) as.integer(Sys.getenv("FAULTS_SEED")) else as.integer(Sys.time()) %% 100000L
set.seed(seed)
cases <- do.call(rbind, lapply(seq_len(nrow(counts)), function(i) {
  n <- counts$calls[i] # a few more than counted: how often processes wait differs
  at <- if (n <= 40L) seq_len(n) else sort(unique(c(1:10, sample.int(n, 30L))))
  expand.grid(program = counts$program[i], fn = counts$fn[i], depth = counts$depth[i], at = at,
              errno = errors[[counts$fn[i]]], stringsAsFactors = FALSE)
}))
# what has failed once comes first
known <- data.frame(program = c("retries", "map", "map", "background", "failure", "failure", "failure", "retries", "retries", "retries"),
                    fn = c("process_vm_readv", "process_vm_readv", "malloc", "process_vm_readv", "pthread_create", "pthread_create",
                           "calloc", "sendmsg", "recvmsg", "send"),
                    depth = c(0L, 0L, 0L, 0L, 0L, 0L, 0L, 1L, 0L, 0L), at = c(1L, 2L, 2L, 1L, 1L, 1L, 3L, 1L, 1L, 1L),
                    errno = c("ESRCH", "ESRCH", "ENOMEM", "ESRCH", "LATE", "EAGAIN", "ENOMEM", "EPERM", "EMFILE", "EPIPE"))
cases <- rbind(known[known$program %in% programs, ], cases[sample.int(nrow(cases)), ])
cat(sprintf("%d calls and errors to fail with, in an order of seed %d\n", nrow(cases), seed))
done <- run_plan(cases, limit)
done <- done[!is.na(done$verdict), ]
good <- done$verdict == "right" | done$verdict == "error" & done$errno != "LATE"
bad <- done[!good, ]
for (i in seq_len(nrow(bad))) with(bad[i, ], cat(sprintf("FAILED  %s: call %d of %s at depth %d gives %s: %s %s\n",
                                        program, at, fn, depth, errno, verdict, text)))
print(table(done$fn, done$verdict))

# ---- calls that are refused from the start ----

# Calls of ours, and of the C library on our behalf, beside those without which no R starts.
refusable <- c("memfd_create", "pidfd_open", "pidfd_send_signal", "clone3", "close_range", "rseq", "statx", "membarrier", "fallocate",
               "process_vm_readv", "process_vm_writev", "madvise", "prctl", "sched_setaffinity", "sched_getaffinity", "getrandom",
               "set_robust_list", "prlimit64", "setpgid", "socketpair", "sendmsg", "recvmsg", "sendto", "recvfrom",
               "ftruncate", "mremap", "msync", "flock", "ptrace", "kcmp", "mincore", "getrusage", "sysinfo", "fsync", "fdatasync",
               "fadvise64", "copy_file_range", "sched_yield", "pwrite64", "readlinkat", "getpriority", "setpriority", "setrlimit",
               # together, as a container of an old runtime, a sandbox and a kernel of 2013 have it
               "process_vm_readv,process_vm_writev,kcmp,ptrace,pidfd_open,pidfd_send_signal", "memfd_create,fallocate,madvise,membarrier",
               "memfd_create,pidfd_open,pidfd_send_signal,clone3,close_range,rseq,statx,membarrier,getrandom,copy_file_range")
refuse <- file.path(dir, "refuse")
can_refuse <- system(sprintf("cc -O2 -Wall tools/faults/refuse.c -o %s && %s 1 memfd_create true", refuse, refuse)) == 0L
refused <- expand.grid(call = refusable, errno = c("EPERM", "ENOSYS"), stringsAsFactors = FALSE)
refused <- refused[!(grepl("clone3", refused$call) & refused$errno == "EPERM"), ] # there the C library itself cannot fork
refused <- refused[sample.int(nrow(refused)), ]
sessions <- if (!can_refuse) 0L else if (length(option("refused"))) as.integer(option("refused")) else nrow(refused)
refused <- utils::head(refused, sessions)
Sys.setenv(FAULTS_REFUSED = "1")
refused_done <- do.call(rbind, lapply(seq_len(nrow(refused)), function(k) {
  under <- sprintf("%s %d %s", refuse, numbers[[refused$errno[k]]], refused$call[k])
  of <- run_plan(data.frame(program = programs, fn = "read", depth = 0L, at = 0L, errno = ""), under = under)
  cbind(refused[k, ], of[c("program", "verdict", "text")], row.names = NULL)
}))
if (is.null(refused_done)) refused_done <- data.frame(call = character(), verdict = character())
refused_bad <- refused_done[!refused_done$verdict %in% c("right", "error"), ]
for (i in seq_len(nrow(refused_bad)))
  with(refused_bad[i, ], cat(sprintf("FAILED  %s where %s is refused with %s: %s %s\n", program, call, errno, verdict, text)))
if (can_refuse) print(table(refused_done$call, refused_done$verdict)) else cat("skipped: the kernel does not filter calls here\n")
numbers_of <- c(sum(good) + nrow(refused_done) - nrow(refused_bad), sum(!good) + nrow(refused_bad), !can_refuse)
if (nzchar(Sys.getenv("COUNTS"))) writeLines(paste(numbers_of, collapse = " "), Sys.getenv("COUNTS"))
saveRDS(done, file.path(dir, "done.rds"))
if ("--report" %in% args) {
  source("tools/reliability.R")
  row <- function(...) paste0("| ", paste(..., sep = " | "), " |")
  of <- function(fn, what) sum(done$fn == fn & done$verdict %in% what)
  fns <- names(errors)[names(errors) %in% done$fn]
  lines <- c(sprintf(paste("Single calls that sharedmem.so made in small programs (a map with critical, ordered and reduce;",
                           "retries; a region; a map by the fork server; background; arrays and files; argsort) failed, %d of %d in",
                           "an order of seed %d, in the session and in what it forks (depth 1) and what these fork (depth 2). Right: the",
                           "result was right all the same. Error: an R error of the package's. After each the session ran another map,",
                           "and no child, descriptor or file in /dev/shm was left."), nrow(done), nrow(cases), seed),
             "", row("function", "errors", "calls failed", "right", "error", "neither"), row("---", "---", "--:", "--:", "--:", "--:"),
             vapply(fns, function(fn) row(sprintf("`%s`", fn), paste(errors[[fn]], collapse = ", "), of(fn, unique(done$verdict)),
                                          of(fn, "right"),
                                          of(fn, "error"), of(fn, c("WRONG", "LEFT", "AFTER", "HANG", "DIED"))), ""),
             "", sprintf(paste("The same programs in %d sessions to which the kernel refused a call altogether (seccomp; EPERM and ENOSYS;",
                               "%d calls and groups of calls): %d times the right result, %d times an R error of the package's, %d times",
                               "neither."),
                         nrow(refused), length(unique(refused$call)), sum(refused_done$verdict %in% "right"),
                         sum(refused_done$verdict %in% "error"), nrow(refused_bad)),
             "", "Found and mended so far:", "", readLines("tools/faults/FINDINGS.md"))
  write_section("Faults", "make faults REPORT=1", lines)
}
cat(sprintf("%d passed, %d failed, %d skipped\n", numbers_of[1L], numbers_of[2L], numbers_of[3L]))
quit(status = as.integer(numbers_of[2L] > 0L))

# Maps over several hosts, on this machine: two network namespaces, each with a host name and processes of its own, joined to the session's
# by a bridge. One is killed, one cut off, and latency is added. Needs root, iproute2 and mirai; else it is skipped, and says so.
#
#   R_LIBS=.lib Rscript tools/hosts.R
#
# Prints one line a check; the last line is `N passed, N failed, N skipped`.

counts <- c(passed = 0L, failed = 0L, skipped = 0L)
finish <- function() {
  if (nzchar(Sys.getenv("COUNTS"))) cat(counts, "\n", file = Sys.getenv("COUNTS"))
  cat(sprintf("%d passed, %d failed, %d skipped\n", counts[1L], counts[2L], counts[3L]))
  quit(status = counts[["failed"]])
}
skip <- function(why) {
  cat("skipped hosts:", why, "\n")
  counts["skipped"] <<- counts[["skipped"]] + 1L
  finish()
}
check <- function(what, expr) {
  ok <- tryCatch(isTRUE(expr), error = function(e) {
    cat("  ", conditionMessage(e), "\n")
    FALSE
  })
  which <- if (ok) "passed" else "failed"
  counts[which] <<- counts[[which]] + 1L
  cat(if (ok) "ok     " else "FAILED ", what, "\n", sep = "")
}

sh <- function(...) system(sprintf(...), ignore.stdout = TRUE, ignore.stderr = TRUE) == 0L
if (Sys.info()[["effective_user"]] != "root") skip("not root")
for (program in c("ip", "tc", "unshare")) if (!nzchar(Sys.which(program))) skip(paste("there is no", program))
if (!requireNamespace("mirai", quietly = TRUE)) skip("mirai is not installed")

tag <- sprintf("smh%d", Sys.getpid() %% 1000L)
host <- function(i) paste0(tag, letters[i])
address <- function(i) sprintf("10.213.7.%d", i + 1L)
pids <- list()

take_down <- function() {
  for (pid in unlist(pids)) tools::pskill(pid, tools::SIGKILL)
  for (i in 1:2) sh("ip netns del %s", host(i))
  sh("ip link del %s", tag)
}

bring_up <- function() {
  bridge <- sh("ip link add %s type bridge", tag) && sh("ip addr add %s/24 dev %s", address(0L), tag) && sh("ip link set %s up", tag)
  bridge && all(vapply(1:2, function(i) {
    h <- host(i)
    sh("ip netns add %s", h) && sh("ip link add %sv type veth peer name eth0 netns %s", h, h) &&
      sh("ip link set %sv master %s up", h, tag) && sh("ip -n %s addr add %s/24 dev eth0", h, address(i)) &&
      sh("ip -n %s link set eth0 up", h) && sh("ip -n %s link set lo up", h)
  }, NA))
}

# A daemon on host i: the process that leads its namespaces ends all in them with itself.
start_daemon <- function(i) {
  log <- tempfile()
  sh(paste("ip netns exec %s unshare --uts --pid --fork --kill-child --mount-proc sh -c",
           "'hostname %s; exec Rscript -e \"mirai::daemon(\\\"%s\\\")\"' >%s 2>&1 & echo $! >%s.pid; :"),
     host(i), host(i), mirai::status()$daemons, log, log)
  pids[[i]] <<- as.integer(readLines(paste0(log, ".pid"))[1L])
  stopifnot(!is.na(pids[[i]]))
}

wait_until <- function(cond, seconds = 30) {
  end <- Sys.time() + seconds
  while (!cond() && Sys.time() < end) Sys.sleep(0.05)
  cond()
}

# Daemons on both hosts, anew.
fresh <- function() {
  for (i in 1:2) {
    sh("ip link set %sv up", host(i))
    if (length(pids) >= i) tools::pskill(pids[[i]], tools::SIGKILL)
  }
  mirai::daemons(0)
  mirai::daemons(url = sprintf("tcp://%s:0", address(0L)))
  for (i in 1:2) start_daemon(i)
  both <- function() mirai::info()[["connections"]] == 2
  # a link that was down takes no calls for a moment, and a daemon calls once
  for (try in 1:5) if (!wait_until(both, 6)) for (i in 1:2) if (!dir.exists(file.path("/proc", pids[[i]]))) start_daemon(i)
  if (!both()) stop("daemons on the hosts do not connect")
}

library(sharedmem)
pool <- function(..., lost_after = 6) MapReduce(backend = ClusterBackend(lost_after = lost_after), np = 2, ...)
hosts_of <- function(p) sort(unique(as.data.frame(p$trace)$host))
both <- c(host(1L), host(2L))
at_home <- function(f, x) {
  set.seed(7)
  MapReduce(np = 2)$map(f, x)
}

run <- function() {
  fresh()
  draw <- function(i) {
    Sys.sleep(0.002)
    c(i, runif(1), rnorm(1))
  }
  p <- pool(trace = TRUE)
  set.seed(7)
  r <- p$map(draw, 1:400)
  check("over two hosts: results and random numbers as at home, both at work", identical(r, at_home(draw, 1:400)) &&
          identical(hosts_of(p), both))
  e <- tryCatch(pool()$map(function(i) if (i == 9) stop("bad") else i, 1:40), WorkerException = identity)
  check("an error names its host", e$host %in% both && e$item == 9 && grepl(e$host, conditionMessage(e), fixed = TRUE))
  x <- empty(10)
  e <- tryCatch(pool()$map(function(i) x[i] <- i, 1:10), sharedmem_cluster_error = identity)
  check("a shared array of the session is refused by name", inherits(e, "sharedmem_cluster_error") && grepl("`x`", conditionMessage(e)))
  e <- tryCatch(pool()$map(function(a) a[1], list(x, x)), sharedmem_cluster_error = identity)
  check("as an item, too", inherits(e, "sharedmem_cluster_error"))
  q <- pool()
  e <- tryCatch(q$map(function(i) q$critical(i), 1:4), WorkerException = identity)
  check("critical is refused", inherits(e$reason, "sharedmem_lock_error"))
  made <- pool()$map(function(i) {
    y <- empty(3)
    y[] <- i
    y
  }, 1:4)
  check("shared arrays made there arrive as their values",
        identical(lapply(made, function(y) y[]), lapply(1:4, function(i) rep(as.numeric(i), 3))))
  check("the daemons are as they were", wait_until(function() mirai::info()[["connections"]] == 2 && mirai::info()[["executing"]] == 0, 5))
  losses()
  latency()
}

# Each run of an item leaves a line; what happens to the hosts happens when the session has got 150 results, so that both take part.
with_loss <- function(what, ...) {
  fresh()
  dir <- tempfile()
  dir.create(dir)
  got <- 0
  began <- Sys.time()
  r <- pool(retries = 1, ...)$map(function(i) {
    cat(Sys.info()[["nodename"]], "\n", file = file.path(dir, i), append = TRUE)
    Sys.sleep(0.02)
    i
  }, 1:400, reduce = function(i) {
    got <<- got + 1
    if (got == 150) what()
    i
  })
  runs <- vapply(1:400, function(i) length(readLines(file.path(dir, i))), 1L)
  list(right = identical(unlist(r), 1:400), twice = sum(runs > 1), seconds = as.numeric(Sys.time() - began, units = "secs"))
}

losses <- function() {
  a <- with_loss(function() tools::pskill(pids[[2L]], tools::SIGKILL))
  check(sprintf("a host killed: complete and right; %d items ran twice, of 2 that ran; %.1f s", a$twice, a$seconds),
        a$right && a$twice <= 10)
  b <- with_loss(function() sh("ip link set %sv down", host(2L)))
  # what the host finished after the cut nobody can know of: it stops after 4 seconds
  check(sprintf("a link cut: complete and right; %d items ran twice; %.1f s", b$twice, b$seconds), b$right)
  fresh()
  e <- tryCatch(pool()$map(function(i) {
    Sys.sleep(0.02)
    i
  }, 1:400, reduce = function(i) if (i == 200) tools::pskill(pids[[2L]], tools::SIGKILL)), error = identity)
  check("without retries the loss is named with its host", inherits(e, "WorkerException") && identical(e$host, host(2L)))
}

latency <- function() {
  fresh()
  rate <- function(n, f) {
    pool()$map(f, seq_len(n))
    n / system.time(pool()$map(f, seq_len(n)))[["elapsed"]]
  }
  nap <- function(i) Sys.sleep(0.001)
  before <- c(rate(1e5, identity), rate(2000, nap))
  for (i in 1:2) sh("ip netns exec %s tc qdisc add dev eth0 root netem delay 20ms", host(i))
  after <- c(rate(1e5, identity), rate(2000, nap))
  check(sprintf("20 ms of latency: %.0f of %.0f tiny items a second, %.0f of %.0f items of 1 ms", after[1L], before[1L], after[2L],
                before[2L]),
        all(after > 0))
}

invisible(tryCatch({
  if (!bring_up()) {
    take_down()
    skip("network namespaces cannot be made here")
  }
  run()
}, error = function(e) check(paste("the hosts:", conditionMessage(e)), FALSE), finally = {
  try(mirai::daemons(0), silent = TRUE)
  take_down()
}))
finish()

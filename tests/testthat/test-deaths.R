# A worker killed at each step of its protocol: at points inside the compiled code (kill_at(), src/r_kill.h), and holding
# the sections. Always the first worker of rank 0; what the others do until then is arranged, not left to luck.

kill_at <- sharedmem:::kill_at

# After a first map, which leaves its control memory to the next.
snapshot_warm <- function() {
  MapReduce(np = 2)$map(identity, 1:2)
  snapshot_resources()
}

ended_children <- function(of) {
  p <- process_table()
  sum(p$ppid == of & p$state == "Z")
}

# What each item did, in memory that outlives workers.
new_record <- function(n) {
  list(runs = full(n, 0, "i4"), mark = full(n, 0, "i4"), log = full(2 * n, 0, "i4"), at = full(1, 0, "i4"),
       inside = full(1, 0, "i4"), turn = full(1, 0, "i4"), broken = full(1, 0, "i4"), begun = full(1, 0, "i4"), killed = full(1, 0, "i4"))
}

# The item's work: counts its run, then critical (never two inside), then ordered (the log), as the section of the
# first worker of rank 0 that is to be killed says. `value`: function of i.
new_job <- function(pool, rec, value, kill_in = "", ordered = TRUE, master = Sys.getpid()) {
  end_here <- function(where) {
    if (kill_in == where && pool$local$rank == 0 && rec$killed[1] == 0) {
      rec$killed[1] <- 1L
      tools::pskill(Sys.getpid(), tools::SIGKILL)
    }
  }
  function(i) {
    # rank 0 comes to work, or to its end, before rank 1 uses the items up
    if (pool$local$rank == 0) rec$begun[1] <- 1L
    else wait_until(rec$begun[1] == 1L || ended_children(master) > 0, 20)
    atomic_add(rec$runs, i, 1)
    u <- runif(1)
    pool$critical({
      me <- Sys.getpid()
      rec$inside[1] <- me
      end_here("critical")
      if (rec$inside[1] != me) rec$broken[1] <- 1L
      rec$mark[i] <- 1L
    })
    if (ordered) pool$ordered({
      me <- Sys.getpid()
      rec$turn[1] <- me
      k <- rec$at[1]
      if (!i %in% rec$log[seq_len(k)]) { rec$log[k + 1] <- i; rec$at[1] <- k + 1L } # an item that runs again comes twice
      end_here("ordered")
      if (rec$turn[1] != me) rec$broken[1] <- 2L
    })
    list(i, u, value(i))
  }
}

n_items <- 24L
modes <- list(stop = list(), retries = list(retries = 2), collect = list(on_error = "collect"))

expect_death <- function(e, item) {
  expect_s3_class(e, c("WorkerException", "SlaveException", "sharedmem_error", "error", "condition"), exact = TRUE)
  expect_s3_class(e$reason, "simpleError")
  expect_match(conditionMessage(e), "SIGKILL")
  expect_identical(e$rank, 0L)
  expect_type(e$pid, "integer")
  expect_false(e$pid == Sys.getpid())
  expect_identical(e$traceback, character())
  if (item) expect_true(e$item %in% seq_len(n_items)) else expect_true(is.na(e$item))
}

# One map in each mode with a worker killed at `point` or in the section `kill_in`. `running`: the death falls on an
# item; `sending`: on an item whose result is on its way, where results go one by one; `harmless`: after all its work, so that
# nothing fails at all.
expect_survives <- function(point = "none", kill_in = "", value = function(i) letters[i], running = FALSE, sending = FALSE,
                            harmless = FALSE, ordered = TRUE, reduce = NULL) {
  all <- seq_len(n_items)
  set.seed(7)
  plain <- MapReduce(np = 0)$map(function(i) list(i, runif(1), value(i)), all)
  for (mode in names(modes)) {
    pool <- do.call(MapReduce, c(list(np = 2), modes[[mode]]))
    before <- snapshot_warm()
    rec <- new_record(n_items)
    job <- new_job(pool, rec, value, kill_in, ordered)
    kill_at(point)
    set.seed(7)
    got <- tryCatch(pool$map(job, all, reduce = reduce), error = identity, finally = kill_at("none"))
    failed <- integer()
    if (harmless || mode != "stop") {
      failed <- all[vapply(got, inherits, NA, "WorkerException")]
      lost <- running || sending
      expect_length(failed, if (lost && mode == "collect") 1 else 0)
      for (i in failed) {
        expect_death(got[[i]], TRUE)
        expect_equal(got[[i]]$item, i)
      }
      kept <- setdiff(all, failed)
      expect_equal(got[kept], plain[kept])
      expect_identical(rec$mark[][kept], rep(1L, length(kept)))
      expect_identical(rec$runs[][kept], rep(1L, length(kept)) + (mode == "retries" & kept %in% which(rec$runs[] > 1)))
      expect_lte(sum(rec$runs[]), n_items + (lost && mode == "retries"))
      if (ordered) {
        logged <- if (kill_in == "ordered" || sending) all else kept
        expect_identical(rec$log[seq_len(rec$at[1])], logged)
      }
    } else {
      expect_death(got, running)
    }
    expect_identical(rec$broken[1], 0L)
    # the next map of the same pool, all sections free
    rec2 <- new_record(n_items)
    set.seed(7)
    again <- pool$map(new_job(pool, rec2, value), all)
    expect_equal(again, plain)
    expect_identical(rec2$log[seq_len(rec2$at[1])], all)
    expect_identical(rec2$broken[1], 0L)
    rm(rec, rec2, job, got, again)
    expect_nothing_left(before)
  }
}

test_that("a worker killed before its first item costs nothing where deaths do not end the map", {
  expect_survives("before_items")
})

test_that("a worker killed with an item taken and not begun costs that item at most", {
  expect_survives("taken", running = TRUE)
})

test_that("a worker killed with its results published loses none of them", {
  expect_survives("published")
})

test_that("a worker killed after its last frame has done its work", {
  expect_survives("last_frame", harmless = TRUE)
})

test_that("a worker killed while its ring is full loses only the result that was on its way", {
  # the master reads nothing until rank 0 has ended
  dead <- full(1, 0, "i4")
  wait_for_death <- function(x) {
    wait_until(dead[1] > 0 || ended_children(Sys.getpid()) > 0, 20)
    dead[1] <- 1L
    x
  }
  text <- function(i) rep(as.numeric(i), 7500)
  for (mode in names(modes)) {
    dead[1] <- 0L
    pool <- do.call(MapReduce, c(list(np = 2), modes[[mode]]))
    before <- snapshot_warm()
    job <- function(i) {
      if (pool$local$rank == 1) wait_until(dead[1] > 0, 20)
      pool$critical(text(i))
    }
    kill_at("ring_full")
    got <- tryCatch(pool$map(job, 1:60, reduce = wait_for_death), error = identity, finally = kill_at("none"))
    if (mode == "stop") {
      expect_death(got, FALSE)
    } else {
      lost <- vapply(got, inherits, NA, "WorkerException")
      expect_identical(sum(lost), if (mode == "collect") 1L else 0L) # the one that was on its way
      expect_identical(got[!lost], lapply(which(!lost), text))
    }
    expect_identical(pool$map(function(i) pool$ordered(pool$critical(i)), 1:6), as.list(1:6))
    rm(got)
    expect_nothing_left(before)
  }
})

test_that("a worker killed while it sends a descriptor leaves neither the descriptor nor a hole", {
  expect_survives("descriptor", value = function(i) as.list(rep(i, 5e4)), sending = TRUE)
})

test_that("a worker killed while it sends a shared array of its own leaves no memory", {
  for (mode in names(modes)) {
    pool <- do.call(MapReduce, c(list(np = 2), modes[[mode]]))
    before <- snapshot_warm()
    rec <- new_record(n_items)
    kill_at("descriptor")
    got <- tryCatch(pool$map(new_job(pool, rec, function(i) full(1e5, i)), seq_len(n_items)), error = identity, finally = kill_at("none"))
    if (mode == "stop") expect_death(got, FALSE)
    else {
      lost <- vapply(got, inherits, NA, "WorkerException")
      expect_identical(sum(lost), if (mode == "collect") 1L else 0L)
      expect_equal(vapply(got[!lost], function(x) sum(x[[3L]]), 0), 1e5 * seq_len(n_items)[!lost])
    }
    rm(got, rec)
    expect_nothing_left(before)
  }
})

test_that("a holder killed in critical frees it, in the same map and for the next", {
  expect_survives(kill_in = "critical", running = TRUE)
})

test_that("a holder killed in ordered hands the turn on, in the same map and for the next", {
  expect_survives(kill_in = "ordered", running = TRUE)
})

test_that("a Lock() of one's own is freed by the death of its holder, for MapReduce and mclapply alike", {
  lock <- Lock()
  done <- full(20, 0, "i4")
  pool <- MapReduce(np = 2, retries = 1)
  first <- full(1, 0, "i4")
  r <- pool$map(function(i) lock({
    if (i == 3 && first[1] == 0) { first[1] <- 1L; tools::pskill(Sys.getpid(), tools::SIGKILL) }
    done[i] <- 1L
    i
  }), 1:20)
  expect_identical(unlist(r), 1:20)
  expect_identical(done[], rep(1L, 20))
  expect_warning(parallel::mclapply(1:2, function(i) if (i == 1) lock(tools::pskill(Sys.getpid(), tools::SIGKILL)), mc.cores = 2))
  expect_identical(unlist(parallel::mclapply(1:2, function(i) lock(i), mc.cores = 2)), 1:2)
  expect_identical(lock("here"), "here")
})

# ---- at random moments ----

# Runs beside maps: kills workers of rank 0 ... np-1 by the pids they wrote down, a third in a section of
# a kind, until `quota` are dead or `over` is set.
kill_at_random <- function(pids, where, killed, quota, over, seed) {
  set.seed(seed)
  while (over[1] == 0 && sum(killed[]) < quota) {
    Sys.sleep(runif(1, 0, 0.01))
    r <- sample.int(length(pids), 1)
    kind <- if (runif(1) < 1 / 3) sample(1:2, 1) else 0L
    if (kind > 0L) wait_until(where[r] == kind, 0.05)
    pid <- pids[r]
    if (pid == 0) next
    now <- where[r]
    pids[r] <- 0L
    if (tools::pskill(pid, tools::SIGKILL)) killed[now + 1L] <- killed[now + 1L] + 1L
  }
}

test_that("40 workers killed at random moments, a third in sections, cost maps with retries nothing", {
  n <- 60L
  np <- 3L
  pool <- MapReduce(np = np, retries = 1000)
  before <- snapshot_warm()
  total <- maps <- 0
  while (total < 40 && maps < 30) {
    maps <- maps + 1
    pids <- full(np, 0, "i4"); where <- full(np, 0, "i4"); killed <- full(3, 0, "i4"); over <- full(1, 0, "i4")
    rec <- new_record(n)
    job <- function(i) {
      r <- pool$local$rank + 1
      where[r] <- 0L
      pids[r] <- Sys.getpid()
      u <- runif(2)
      pool$critical({
        where[r] <- 1L
        me <- Sys.getpid()
        rec$inside[1] <- me
        Sys.sleep(0.001)
        if (rec$inside[1] != me) rec$broken[1] <- 1L
        rec$mark[i] <- 1L
        where[r] <- 0L
      })
      pool$ordered({
        where[r] <- 2L
        rec$turn[1] <- me
        k <- rec$at[1]
        if (!i %in% rec$log[seq_len(k)]) { rec$log[k + 1] <- i; rec$at[1] <- k + 1L }
        Sys.sleep(0.001)
        if (rec$turn[1] != me) rec$broken[1] <- 2L
        where[r] <- 0L
      })
      pids[r] <- 0L # none of ours any more when the map is over and the number given to another
      list(i, u, as.character(i))
    }
    set.seed(maps)
    expected <- MapReduce(np = 0)$map(function(i) { u <- runif(2); list(i, u, as.character(i)) }, seq_len(n))
    hunter <- background(kill_at_random, pids, where, killed, 40 - total, over, maps)
    set.seed(maps)
    got <- pool$map(job, seq_len(n))
    over[1] <- 1L
    hunter$wait(20)
    total <- total + sum(killed[])
    expect_identical(got, expected)
    expect_identical(rec$mark[], rep(1L, n))
    expect_identical(rec$log[seq_len(rec$at[1])], seq_len(n))
    expect_identical(rec$broken[1], 0L)
  }
  expect_gte(total, 40)
  rm(pids, where, killed, over, rec, hunter, job, got)
  expect_nothing_left(before)
})

test_that("each effect of a finished item happens once, whoever dies of what at random moments", {
  seed <- sample.int(1e6, 1)
  n <- 1500L
  np <- 3L
  hunt <- function(pids, killed, over) {
    set.seed(seed)
    while (over[1] == 0 && killed[1] < 30) {
      Sys.sleep(runif(1, 0, 0.03))
      r <- sample.int(length(pids), 1)
      pid <- pids[r]
      if (pid > 0 && tools::pskill(pid, tools::SIGKILL)) { atomic_add(killed, 1, 1); pids[r] <- 0L }
    }
  }
  for (mode in list(list(retries = 50), list(on_error = "collect"), list(retries = 50, on_error = "collect"))) {
    begun <- full(n, 0, "i4"); ended <- full(n, 0, "i4"); counted <- full(n, 0, "i4")
    pids <- full(np, 0, "i4"); killed <- full(1, 0, "i4"); self <- full(1, 0, "i4"); over <- full(1, 0, "i4")
    file <- tempfile()
    pool <- do.call(MapReduce, c(list(np = np), mode))
    hunter <- background(hunt, pids, killed, over)
    r <- pool$map(function(i) {
      pids[pool$local$rank + 1] <- Sys.getpid()
      atomic_add(begun, i, 1)
      u <- (i * 2654435761 + seed) %% 4294967296 / 4294967296
      if (u < 0.01 && begun[i] == 1L) { atomic_add(self, 1, 1); tools::pskill(Sys.getpid(), tools::SIGKILL) }
      if (u > 0.5) Sys.sleep(0.001)
      pool$critical(counted[i] <- counted[i] + 1L)
      cat(sprintf("%d\n", i), file = file, append = TRUE)
      atomic_add(ended, i, 1)
      if (u < 0.3) list(i, "x") else i
    }, seq_len(n))
    over[1] <- 1L
    hunter$wait(30)
    deaths <- killed[1] + self[1]
    fine <- !vapply(r, inherits, NA, "WorkerException")
    expect_identical(vapply(r[fine], function(v) as.integer(v[[1L]]), 0L), which(fine))
    expect_lte(sum(!fine), if (is.null(mode$retries)) deaths else 0)
    effects <- list(begun[], ended[], counted[], tabulate(scan(file, quiet = TRUE), n))
    unlink(file)
    for (e in effects) {
      expect_gte(min(e[fine]), 1)
      expect_true(sum(e[fine] - 1) <= if (is.null(mode$retries)) 0 else deaths, info = sprintf("seed %d", seed))
    }
  }
})

test_that("a session that ends right after a map leaves no process behind, however long a worker's memory takes to go", {
  skip_if_not(file.exists("/proc/self/stat"))
  code <- paste("pids <- sharedmem::MapReduce(np = 2)$map(function(i) { kept <<- lapply(1:1e6, function(k) k + 0.5); Sys.getpid() }, 1:2)",
                "cat(unlist(pids))", sep = "; ")
  libs <- paste0("R_LIBS=", paste(.libPaths(), collapse = .Platform$path.sep))
  out <- system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", "-e", shQuote(code)), env = libs, stdout = TRUE)
  left <- file.exists(file.path("/proc", strsplit(out, " ")[[1L]]))
  expect_identical(left, c(FALSE, FALSE))
})

test_that("the exit status that an item gives to q() is told", {
  told <- function(expr) conditionMessage(tryCatch(expr, WorkerException = identity))
  expect_match(told(MapReduce(np = 2)$map(function(i) if (i == 2) q("no", 3), 1:2)), "ended R in another way \\(exit status 3\\) while")
  expect_match(told(background(function() quit(status = 4))$wait()), "(exit status 4)", fixed = TRUE)
  expect_match(told({ p <- Parallel(num_threads = 2); with(p, if (p$rank == 1) quit("no", 260)) }), "(exit status 4)", fixed = TRUE)
  expect_match(told(MapReduce(np = 1)$map(function(i) q(), 1)), "(exit status 0)", fixed = TRUE)
  cl <- make_shared_cluster(1)
  on.exit(parallel::stopCluster(cl))
  expect_match(told(parallel::clusterCall(cl, function() q("no", 5))), "(exit status 5)", fixed = TRUE)
})

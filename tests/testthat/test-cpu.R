set_env <- function(..., frame = parent.frame()) {
  new <- c(...)
  old <- Sys.getenv(names(new), NA, names = TRUE)
  put_env(new)
  do.call(on.exit, list(substitute(put_env(old), list(put_env = put_env, old = old)), add = TRUE), envir = frame)
}
put_env <- function(vars) {
  if (anyNA(vars)) Sys.unsetenv(names(vars)[is.na(vars)])
  if (!all(is.na(vars))) do.call(Sys.setenv, as.list(vars[!is.na(vars)]))
}
none <- c(MC_CORES = NA, OMP_NUM_THREADS = NA, PBS_NUM_PPN = NA, SLURM_CPUS_PER_TASK = NA, NSLOTS = NA, LSB_DJOB_NUMPROC = NA)

test_that("options count before variables, and variables in their order", {
  set_env(MC_CORES = "3", OMP_NUM_THREADS = "4", PBS_NUM_PPN = "5", SLURM_CPUS_PER_TASK = "6", NSLOTS = "7", LSB_DJOB_NUMPROC = "8")
  old <- options(sharedmem.np = 1, mc.cores = 2L)
  on.exit(options(old), add = TRUE)
  got <- cpu_count()
  for (clear in list(quote(options(sharedmem.np = NULL)), quote(options(mc.cores = NULL)), quote(Sys.unsetenv("MC_CORES")),
                     quote(Sys.unsetenv("OMP_NUM_THREADS")), quote(Sys.unsetenv("PBS_NUM_PPN")),
                     quote(Sys.unsetenv("SLURM_CPUS_PER_TASK")), quote(Sys.unsetenv("NSLOTS")))) {
    eval(clear)
    got <- c(got, cpu_count())
  }
  expect_identical(got, 1:8)
  for (bad in list("x", "\xb8", 0, -1, NA, c(1, 2), TRUE, 2.5, list(1), Inf)) {
    options(sharedmem.np = bad)
    expect_warning(n <- cpu_count(), class = "sharedmem_warning")
    expect_identical(n, 8L)
  }
})

test_that("one message a session says that OMP_NUM_THREADS=1 hides what the scheduler gives", {
  r <- run_script({
    count <- function() {
      told <- 0
      note <- function(m) { told <<- told + 1; invokeRestart("muffleMessage") }
      n <- withCallingHandlers(cpu_count(), sharedmem_message = note)
      c(n, told)
    }
    first <- count()
    answer(list(first, count(), { options(sharedmem.np = 3); count() }))
  }, env = c(OMP_NUM_THREADS = "1", SLURM_CPUS_PER_TASK = "16"))
  expect_script_ok(r)
  expect_equal(r$value, list(c(1, 1), c(1, 0), c(3, 0)))
  r <- run_script({ answer(cpu_count()) }, env = c(OMP_NUM_THREADS = "1", SLURM_CPUS_PER_TASK = "1"))
  expect_identical(r$value, 1L)
  expect_length(r$stderr, 0)
})

test_that("facts about the machine are read without a connection of R's", {
  r <- run_script({
    x <- copy(runif(3e6))
    before <- c(cpu_count(), total_memory())
    kept <- list()
    while (!is.null(con <- tryCatch(textConnection("a"), error = function(e) NULL))) kept <- c(kept, list(con))
    seen <- list(identical(c(cpu_count(), total_memory()), before), is.finite(sum(x)), unlist(MapReduce(np = 2)$map(function(i) i, 1:2)),
                 background(function() 1)$wait())
    for (con in kept) close(con)
    answer(seen)
  })
  expect_identical(r$value, list(TRUE, TRUE, 1:2, 1))
})

test_that("the variables count in their order, the first number of OMP_NUM_THREADS", {
  set_env(OMP_NUM_THREADS = "3,2", PBS_NUM_PPN = "5", SLURM_CPUS_PER_TASK = "7")
  expect_identical(cpu_count(), 3L)
  Sys.setenv(OMP_NUM_THREADS = " 4 ")
  expect_identical(cpu_count(), 4L)
  Sys.unsetenv("OMP_NUM_THREADS")
  expect_identical(cpu_count(), 5L)
  Sys.unsetenv("PBS_NUM_PPN")
  expect_identical(cpu_count(), 7L)
})

test_that("what is not a positive number is passed over with a warning", {
  set_env(none)
  for (bad in c("zero", "-1", "0", "1.5", "1e99", "NA", ",2", "Inf", "0x")) {
    Sys.setenv(OMP_NUM_THREADS = bad, PBS_NUM_PPN = "6")
    expect_warning(n <- cpu_count(), "OMP_NUM_THREADS")
    expect_identical(n, 6L)
  }
  Sys.setenv(OMP_NUM_THREADS = "")
  expect_silent(n <- cpu_count())
  expect_identical(n, 6L)
})

test_that("without variables it is what the affinity and the quota allow", {
  set_env(none)
  n <- cpu_count()
  expect_type(n, "integer")
  expect_gte(n, 1L)
  a <- sharedmem:::affinity_count
  expect_identical(a("Cpus_allowed_list:\t0-3,8"), 5L)
  expect_identical(a("Cpus_allowed_list:\t7"), 1L)
  expect_null(a(character()))
  skip_if(!nzchar(Sys.which("taskset")), "no taskset")
  r <- system(sprintf("taskset -c 0 %s -e %s", shQuote(file.path(R.home("bin"), "Rscript")),
                      shQuote(sprintf(".libPaths(c('%s', .libPaths())); cat(sharedmem::cpu_count())",
                                      dirname(getNamespaceInfo("sharedmem", "path"))))), intern = TRUE)
  expect_identical(r[length(r)], "1")
})

test_that("quotas of cgroups of both versions are read, above the own group too", {
  root <- tempfile()
  dir.create(file.path(root, "a", "b"), recursive = TRUE)
  on.exit(unlink(root, recursive = TRUE))
  dirs <- sharedmem:::cgroup_dirs("cpu", root, "0::/a/b")
  expect_true(all(c(file.path(root, "a", "b"), file.path(root, "a"), root) %in% dirs))
  quota <- function() sharedmem:::quota_count(dirs)
  expect_identical(quota(), Inf)
  writeLines("max 100000", file.path(root, "a", "b", "cpu.max"))
  expect_identical(quota(), Inf)
  writeLines("250000 100000", file.path(root, "a", "cpu.max"))
  expect_identical(quota(), 2.5)
  writeLines("50000 100000", file.path(root, "a", "b", "cpu.max"))
  expect_identical(quota(), 0.5)
  v1 <- sharedmem:::cgroup_dirs("cpu", root, "4:cpu,cpuacct:/x")
  expect_true(file.path(root, "cpu") %in% v1)
  dir.create(file.path(root, "cpu"))
  writeLines("300000", file.path(root, "cpu", "cpu.cfs_quota_us"))
  writeLines("100000", file.path(root, "cpu", "cpu.cfs_period_us"))
  expect_identical(sharedmem:::quota_count(v1), 3)
  writeLines("-1", file.path(root, "cpu", "cpu.cfs_quota_us"))
  expect_identical(sharedmem:::quota_count(v1), Inf)
  writeLines("garbage", file.path(root, "cpu", "cpu.cfs_quota_us"))
  expect_identical(sharedmem:::quota_count(v1), Inf)
})

test_that("total_memory is a positive number of bytes, at most the machine's", {
  m <- total_memory()
  expect_true(is.numeric(m) && length(m) == 1L && m > 2^20)
  skip_if(!file.exists("/proc/meminfo"), "no /proc/meminfo")
  kb <- as.numeric(sub("\\D*(\\d+).*", "\\1", grep("^MemTotal", readLines("/proc/meminfo"), value = TRUE)))
  expect_lte(m, kb * 1024)
})

test_that("np = NULL means cpu_count()", {
  local_np(3)
  expect_identical(MapReduce()$np, 3L)
  expect_identical(MapReduce(np = 5)$np, 5L)
})

test_that("in a session that hangs when forked, and has no fork server either, the work runs in the master, with one warning", {
  r <- run_script({
    ns <- asNamespace("sharedmem")
    for (name in c("is_gui_session", "server_command")) unlockBinding(name, ns)
    assign("is_gui_session", function(...) TRUE, ns)
    assign("server_command", function() c("/bin/sh", "-c", "echo it is broken"), ns)
    pool <- MapReduce(np = 2)
    warned <- NULL
    map <- function() withCallingHandlers(unlist(pool$map(function(i) Sys.getpid(), 1:2)), sharedmem_fork_warning = function(w) {
      warned <<- c(warned, grepl("it is broken", conditionMessage(w)))
      invokeRestart("muffleWarning")
    })
    here <- c(map(), map())
    options(sharedmem.fork = TRUE)
    answer(list(warned, here == Sys.getpid(), map() == Sys.getpid()))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(TRUE, rep(TRUE, 4), c(FALSE, FALSE)))
})

test_that("GUI sessions are known by their names", {
  g <- sharedmem:::is_gui_session
  expect_true(g("RStudio", c()))
  expect_true(g("Positron", c()))
  expect_false(g("X11", Sys.getenv()))
})

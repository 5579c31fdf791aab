# Load: many workers, sections, items, arrays, pools and sessions, each in a fresh session under a time limit; then a soak of random maps,
# regions, backgrounds and arrays with deaths and interrupts, which can be stopped at any moment and resumed.
#
#   Rscript bench/soak-load.R [--seconds=300] [--resume=FILE] [--only=regex] [--scale=1] [--report]
#
# Each load and each round of the soak is a line of .build/soak-load.tsv as soon as it is over, whatever it gave. --resume goes on with
# such a file: loads that are in it are not run again, and the soak goes on with its next round until the rounds of all runs together have
# taken --seconds (86400: a day's worth). --only: loads of these names, and the soak if it matches "soak". --scale: the loads' sizes by this
# factor. --report: the section "Load" of bench/RELIABILITY.md from the whole file. The status is 1 if anything was wrong.
source("tests/testthat/helper-process.R")
source("tests/testthat/helper-resources.R")

option <- function(name, default) {
  given <- grep(paste0("^--", name, "="), commandArgs(TRUE), value = TRUE)
  if (length(given)) sub("^[^=]*=", "", given[1L]) else default
}
rss <- function() as.numeric(gsub("\\D", "", grep("^VmRSS", readLines("/proc/self/status"), value = TRUE))) / 1024
left_text <- function(left) paste(names(left), lengths(left), vapply(left, function(x) sprintf("(%s)", x[1L]), ""), collapse = ", ")
# Children that end and names that others have for a moment in /dev/shm are waited for.
left_at_last <- function(before) {
  wait_until(length(left <- left_since(before)) == 0L, 10)
  left
}

# ---- the loads: each gives a function that runs it once and is TRUE if all was right; where memory is not this session's alone, one that
# says how much; where something is to be ended, one that does ----

loads <- list(
  workers = function(scale) {
    n <- ceiling(600 * scale)
    list(about = sprintf("%d workers at once", n), run = function() {
      here <- full(1, 0)
      pids <- MapReduce(np = n)$map(function(i) { # none goes on before all have come
        atomic_add(here, 1, 1)
        until <- Sys.time() + 300
        while (here[1] < n && Sys.time() < until) Sys.sleep(0.5) # so many look seldom
        Sys.getpid()
      }, seq_len(n))
      here[1] == n && !anyDuplicated(unlist(pids)) && length(unlist(pids)) == n
    })
  },
  sections = function(scale) {
    n <- ceiling(1e6 * scale)
    pool <- MapReduce(np = 2)
    list(about = sprintf("a map of %d items, each in an ordered section", n), run = function() {
      last <- full(1, 0)
      log <- empty(n, "i4")
      got <- pool$map(function(i) {
        pool$ordered({
          log[last[1] + 1] <- i
          last[1] <- last[1] + 1
        })
        -i
      }, seq_len(n))
      last[1] == n && identical(log[], seq_len(n)) && identical(unlist(got), -seq_len(n))
    })
  },
  items = function(scale) {
    n <- ceiling(1e7 * scale)
    pool <- MapReduce(np = 2)
    list(about = sprintf("a map of %d items, then the same with reduce", n), run = function() {
      kept <- identical(unlist(pool$map(function(i) i, seq_len(n))), seq_len(n))
      sum <- 0
      pool$map(function(i) i, seq_len(n), reduce = function(i) { sum <<- sum + i; NULL })
      kept && sum == n * (n + 1) / 2
    })
  },
  arrays = function(scale) {
    n <- ceiling(1e5 * scale)
    size <- rep_len(c(1, 10, 100, 1000, 5000), n) # doubles; the largest have a descriptor each until these are scarce
    pool <- MapReduce(np = 2)
    right <- function(arrays, add) {
      force(arrays) # before the fork
      sums <- unlist(pool$map(function(k) { a <- arrays[[k]]; a[] <- a[] + add; sum(a[]) }, seq_len(n)))
      identical(sums, size * (seq_len(n) + add)) && all(vapply(arrays, function(a) a[length(a)], 0) == seq_len(n) + add)
    }
    list(about = sprintf("%d arrays alive, made by the session, then as many by its workers, all written by workers", n),
         run = function() {
      mine <- right(lapply(seq_len(n), function(k) full(size[k], k)), 1)
      mine && right(pool$map(function(k) full(size[k], k), seq_len(n)), 2)
    })
  },
  pools = function(scale) {
    n <- ceiling(100 * scale)
    count <- full(n, 0)
    pools <- lapply(seq_len(n), function(k)
      MapReduce(np = 1 + k %% 3, retries = k %% 2, on_error = c("stop", "collect")[1 + k %% 2], timeout = if (k %% 5) Inf else 60))
    job <- function(k) sum(unlist(pools[[k]]$map(function(i) { pools[[k]]$critical(count[k] <- count[k] + 1); i * k }, 1:20)))
    list(about = sprintf("%d pools: each maps by itself, within a worker of another, and all in background at once", n),
         run = function() {
      count[] <- 0
      alone <- vapply(sample.int(n), function(k) job(k) == 210 * k, NA)
      nested <- unlist(pools[[n]]$map(job, seq_len(n))) == 210 * seq_len(n)
      jobs <- lapply(seq_len(n), function(k) background(job, k))
      beside <- vapply(jobs, function(b) b$wait(300), 0) == 210 * seq_len(n)
      all(alone, nested, beside) && all(count[] == 60)
    })
  },
  sessions = function(scale) {
    n <- 8
    items <- ceiling(2000 * scale)
    cluster <- parallel::makePSOCKcluster(n)
    parallel::clusterEvalQ(cluster, {
      library(sharedmem)
      source("tests/testthat/helper-resources.R")
      invisible(MapReduce(np = 2)$map(identity, 1:2))
      before <- snapshot_resources()
    })
    of_each <- function(f, ...) parallel::clusterCall(cluster, f, ...)
    list(about = sprintf("%d sessions at once, each with maps of %d items that add to the arrays of all (memory: the mean of theirs)", n,
                        items),
         run = function() {
      arrays <- of_each(function() full(c(1000, 2), 0)) # each session makes one, and has them all attached
      got <- of_each(function(arrays, items) {
        pool <- MapReduce(np = 2)
        got <- pool$map(function(i) {
          for (a in arrays) atomic_add(a, 1 + i %% 1000, 1)
          pool$critical(arrays[[1 + i %% length(arrays)]][2, 2]) # each reads what others write
          i
        }, seq_len(items))
        identical(unlist(got), seq_len(items))
      }, arrays, items)
      expected <- n * tabulate(1 + seq_len(items) %% 1000, 1000)
      summed <- vapply(arrays, function(a) all(a[, 1] == expected), NA)
      rm(arrays)
      # after two collections at both ends; a session has no child, descriptor, mapping or name more than before its first map
      gc()
      left <- of_each(function() left_since(before))
      all(unlist(got), summed) && !length(unlist(left))
    }, memory = function() mean(unlist(of_each(rss))), end = function() parallel::stopCluster(cluster))
  }
)

# In a session of its own: a load once, then a twentieth of it `again` times, over which the session's memory may not grow: what R's
# collector keeps goes up and down by more, so it is the least of the second half that counts.
run_load <- function(name, scale, again = 8) {
  invisible(MapReduce(np = 2)$map(identity, 1:2))
  before <- snapshot_resources()
  right <- logical()
  took <- memory <- numeric()
  for (part in c(1, 1 / 20)) {
    load <- loads[[name]](scale * part)
    if (part == 1) about <- load$about
    for (k in seq_len(if (part == 1) 1 else again)) {
      took <- c(took, system.time(right <- c(right, load$run()))[["elapsed"]])
      gc(full = TRUE)
      memory <- c(memory, if (is.null(load$memory)) rss() else load$memory())
    }
    if (!is.null(load$end)) load$end()
  }
  rm(load)
  left <- left_at_last(before)
  small <- memory[-1L]
  grown <- min(utils::tail(small, again / 2)) - max(utils::head(small, again / 2))
  verdict <- c(if (!all(right)) "wrong result", if (length(left)) paste("left behind:", left_text(left)), if (grown > 2) "memory grows")
  list(verdict = if (length(verdict)) paste(verdict, collapse = "; ") else "right", rss = memory[1L],
       text = sprintf("%s: %.1f s, the session then has %.0f MB; after a twentieth of it %d times %s MB", about, took[1L], memory[1L],
                      again, paste(sprintf("%.1f", small), collapse = ", ")))
}

# ---- the soak: each round is one of these, and all it does follows from the round's seed but for when signals come ----

# Ends this process in one of six ways, and says so first.
die <- function(how, deaths) {
  atomic_add(deaths, 1, 1L)
  if (how == 6) quit("no", 3)
  tools::pskill(Sys.getpid(), c(9L, 9L, 11L, 15L, 6L)[how])
  Sys.sleep(60)
}

# An item's value: of every kind that travels in a way of its own.
value <- function(i) switch(1 + i %% 7, i, runif(3), as.character(i), list(i, "x", NULL), numeric(2000) + i, NULL, c(a = 1L, b = i))
expected <- function(n, seed) {
  set.seed(seed)
  MapReduce(np = 0)$map(value, seq_len(n))
}
is_class <- function(x, class) vapply(x, inherits, NA, class)

rounds <- list(
  # Deaths in every place of an item; it dies on its first run only.
  retries = function(seed, deaths) {
    n <- sample(10:300, 1)
    np <- sample(1:5, 1)
    place <- sample(0:4, n, TRUE, c(20, 1, 1, 1, 1))
    how <- sample(1:6, n, TRUE)
    begun <- empty(n, "i4"); marks <- empty(n, "i4"); last <- full(1, 0); broken <- full(1, 0); held <- full(1, 0)
    pool <- MapReduce(np = np, retries = 3)
    want <- expected(n, seed)
    set.seed(seed)
    got <- pool$map(function(i) {
      r <- value(i)
      at <- place[i] * (atomic_add(begun, i, 1L) == 1L)
      if (at == 1) die(how[i], deaths)
      pool$critical({
        held[1] <- i
        if (at == 2) die(how[i], deaths)
        marks[i] <- marks[i] + 1L
        if (held[1] != i) broken[1] <- 1
      })
      pool$ordered({
        if (at == 3) die(how[i], deaths)
        if (last[1] == i - 1) last[1] <- i else if (last[1] < i) broken[1] <- 1 # an item that runs again may come later
      })
      if (at == 4) die(how[i], deaths)
      r
    }, seq_len(n))
    identical(got, want) && broken[1] == 0 && last[1] == n && all(marks[] == 1L + (place > 2)) && all(begun[] == 1L + (place > 0))
  },
  # Errors and deaths are in their places, and all else is right.
  collect = function(seed, deaths) {
    n <- sample(10:300, 1)
    fate <- sample(0:2, n, TRUE, c(20, 1, 1))
    how <- sample(1:6, n, TRUE)
    pool <- MapReduce(np = sample(1:5, 1), on_error = "collect")
    want <- expected(n, seed)
    set.seed(seed)
    got <- pool$map(function(i) { if (fate[i] == 1) stop("item ", i) else if (fate[i] == 2) die(how[i], deaths); value(i) }, seq_len(n))
    all(is_class(got[fate > 0], "WorkerException")) && identical(got[fate == 0], want[fate == 0])
  },
  # One error or death ends a map, and names its item.
  stop = function(seed, deaths) {
    n <- sample(10:300, 1)
    bad <- sample.int(n, 1)
    how <- sample(0:6, 1)
    e <- tryCatch(MapReduce(np = sample(1:5, 1))$map(function(i) if (i == bad) if (how) die(how, deaths) else stop("bad") else value(i),
                                                     seq_len(n)), WorkerException = identity)
    inherits(e, "WorkerException") && identical(as.integer(e$item), bad)
  },
  region = function(seed, deaths) {
    np <- sample(2:4, 1)
    n <- sample(1:200, 1)
    schedule <- sample(c("static", "dynamic", "guided"), 1)
    dies <- sample(c(TRUE, FALSE), 1)
    how <- sample(1:6, 1)
    p <- Parallel(Shared(n = 0L), Reduction("+", total = 0), num_threads = np)
    e <- tryCatch(with(p, {
      p$forloop(seq_len(n), schedule = schedule, ordered = TRUE, body = function(i, section) {
        p$var$total <- p$var$total + i
        section(p$var$n <- p$var$n + 1L)
      })
      p$barrier()
      if (dies && p$rank == np - 1L) die(how, deaths)
      p$barrier()
    }), WorkerException = identity)
    if (dies) inherits(e, "WorkerException") && e$rank == np - 1L
    else !inherits(e, "condition") && p$var$total == n * (n + 1) / 2 && p$var$n == n
  },
  background = function(seed, deaths) {
    n <- sample(1:12, 1)
    fate <- sample(0:3, n, TRUE)
    how <- sample(1:6, n, TRUE)
    jobs <- lapply(seq_len(n), function(k) background(function() {
      if (fate[k] == 1) stop("job ", k) else if (fate[k] == 2) die(how[k], deaths) else if (fate[k] == 3) Sys.sleep(60)
      sum(unlist(MapReduce(np = 2)$map(identity, 1:10)))
    }))
    for (k in which(fate == 3)) jobs[[k]]$cancel()
    got <- lapply(jobs, function(b) tryCatch(b$wait(60), error = identity))
    all(is_class(got[fate > 0], "WorkerException")) && all(unlist(got[fate == 0]) == 55)
  },
  # Arrays of many sizes made, written and dropped by the session and its workers, against the same in vectors.
  arrays = function(seed, deaths) {
    n <- sample(1:200, 1)
    size <- round(10^runif(n, 0, 5))
    dies <- runif(n) < 0.05
    begun <- empty(n, "i4")
    mine <- lapply(size, function(s) full(s, s))
    pool <- MapReduce(np = sample(1:4, 1), retries = 1)
    theirs <- pool$map(function(k) {
      made <- full(size[k], k)
      if (atomic_add(begun, k, 1L) == 1L && dies[k]) die(1, deaths)
      mine[[k]][] <- k
      made[1] <- -1
      made
    }, seq_len(n))
    ok <- all(mapply(function(a, b, k) all(a[] == k) && b[1] == -1 && all(b[][-1] == k), mine, theirs, seq_len(n)))
    one <- size[1]
    v <- as.double(seq_len(one))
    s <- as_shared(v)
    for (j in 1:20) {
      i <- sample.int(one, sample.int(one, 1))
      x <- runif(length(i))
      s[i] <- x
      v[i] <- x
    }
    ok && identical(s[], v) && identical(order(v), as.integer(argsort(s)[]))
  },
  # A signal at a random moment of something that would not end.
  interrupt = function(seed, deaths) {
    kind <- sample(5, 1)
    delay <- runif(1, 0, 0.3)
    session <- Sys.getpid()
    pool <- MapReduce(np = sample(2:4, 1), retries = sample(0:1, 1))
    sender <- background(function() { Sys.sleep(delay); tools::pskill(session, 2L) })
    caught <- FALSE
    tryCatch({
      if (kind == 1) pool$map(function(i) pool$critical(Sys.sleep(60)), 1:8)
      else if (kind == 2) repeat pool$map(function(i) value(i), 1:500)
      else if (kind == 3) with(p <- Parallel(num_threads = 3), if (p$rank) Sys.sleep(60) else p$barrier())
      else if (kind == 4) repeat background(function() 1)$wait()
      else repeat for (k in 1:100) full(10^(k %% 5), k)
    }, interrupt = function(e) caught <<- TRUE)
    tryCatch(sender$wait(60), interrupt = function(e) caught <<- TRUE)
    sender$wait(60)
    background(identity, 1)$wait() # the next one reaps one whose wait was interrupted
    interrupts <<- interrupts + caught
    caught && identical(unlist(pool$map(identity, 1:10)), 1:10)
  }
)
interrupts <- 0

# In a session of its own: rounds from `from` on until `seconds` are over or the process `driver` is gone.
run_soak <- function(file, from, seconds, driver) {
  until <- proc.time()[["elapsed"]] + seconds
  invisible(MapReduce(np = 2)$map(identity, 1:2))
  before <- snapshot_resources()
  while (proc.time()[["elapsed"]] < until && tools::pskill(driver, 0L)) {
    set.seed(from, "Mersenne-Twister")
    kind <- names(rounds)[sample.int(length(rounds), 1)]
    deaths <- empty(1, "i4")
    interrupts <<- 0
    began <- proc.time()[["elapsed"]]
    right <- tryCatch(suppressWarnings(rounds[[kind]](from, deaths)), error = conditionMessage)
    died <- deaths[1]
    rm(deaths)
    left <- left_at_last(before)
    took <- proc.time()[["elapsed"]] - began
    if (!tools::pskill(driver, 0L)) break # stopped: the round is for whoever resumes
    if (length(left)) before <- snapshot_resources() # told once
    verdict <- c(if (is.character(right)) right else if (!right) "wrong result", if (length(left)) paste("left behind:", left_text(left)))
    note(file, "soak", kind, from, took, died, interrupts, rss(), if (length(verdict)) paste(verdict, collapse = "; ") else "right")
    from <- from + 1L
  }
}

# ---- the file, and who starts the sessions ----

columns <- c("part", "what", "round", "seconds", "deaths", "interrupts", "rss", "verdict", "text")
note <- function(file, part, what, round, seconds, deaths, interrupts, rss, verdict, text = "")
  cat(sprintf("%s\t%s\t%d\t%.2f\t%d\t%d\t%.1f\t%s\t%s\n", part, what, as.integer(round), seconds, as.integer(deaths),
              as.integer(interrupts), rss, gsub("\\s+", " ", verdict), text), file = file, append = TRUE)
state <- function(file) {
  lines <- if (file.exists(file)) grep("\t.*\t.*\t.*\t.*\t.*\t.*\t.*\t", readLines(file, warn = FALSE), value = TRUE) # whole ones
  if (!length(lines)) return(data.frame(part = character(), what = character(), round = integer(), seconds = numeric()))
  utils::read.delim(text = lines, header = FALSE, col.names = columns, quote = "", colClasses = c(text = "character"))
}
session <- function(call, timeout) start_script(c("sourced <- TRUE; source('bench/soak-load.R')", call), timeout)

# What a session gave that wrote no line of its own.
ended <- function(r) sprintf("the session %s: %s", if (r$timed_out) "did not end in time" else if (is.na(r$signal))
  sprintf("ended with status %s", r$status) else sprintf("died by signal %s", r$signal), paste(utils::tail(r$stderr, 3L), collapse = " / "))

drive_load <- function(name, scale, file) {
  r <- finish_script(session(sprintf("answer(run_load('%s', %s))", name, scale), 2400))
  v <- if (is.null(r$value)) list(verdict = ended(r), rss = NA_real_, text = name) else r$value
  if (length(r$left)) v$verdict <- paste0(v$verdict, "; ", length(r$left), " processes outlived the session")
  note(file, "load", name, 0L, r$elapsed, 0L, 0L, v$rss, v$verdict, v$text)
  cat(sprintf("%-9s %6.0f s  %s: %s\n", name, r$elapsed, v$verdict, v$text))
}

# A session that says nothing for so long hangs: it is ended, its round is told as that, and another goes on behind it.
drive_soak <- function(seconds, file, silence = 300) {
  repeat {
    done <- subset(state(file), part == "soak")
    over <- sum(done$seconds)
    if (over >= seconds) break
    from <- max(0L, done$round) + 1L
    cat(sprintf("soak      from round %d on, %.0f of %.0f s are over\n", from, over, seconds))
    h <- session(sprintf("run_soak('%s', %dL, %f, %d)", normalizePath(file, mustWork = FALSE), from, seconds - over, Sys.getpid()),
                 seconds - over + 2 * silence)
    on.exit(system(sprintf("kill -s KILL -- -%d", h$pgid), ignore.stderr = TRUE))
    said <- proc.time()[["elapsed"]]
    size <- 0
    while (!script_ended(h) && proc.time()[["elapsed"]] - said < silence) {
      Sys.sleep(0.5)
      if (!identical(now <- file.size(file), size)) { size <- now; said <- proc.time()[["elapsed"]] }
    }
    hung <- !script_ended(h)
    if (hung) system(sprintf("kill -s KILL -- -%d", h$pgid))
    r <- if (hung) list(left = integer()) else finish_script(h)
    if (hung) unlink(h$dir, recursive = TRUE)
    last <- max(0L, subset(state(file), part == "soak")$round)
    if (hung || !identical(r$status, 0L)) note(file, "soak", "session", last + 1L, 0, 0L, 0L, NA, if (hung) "hangs" else ended(r))
    if (length(r$left)) note(file, "soak", "session", last, 0, 0L, 0L, NA, sprintf("%d processes outlived the session", length(r$left)))
    if (!hung && identical(r$status, 0L)) break
  }
}

summary_lines <- function(all) {
  a <- all[all$part == "load", ]
  a <- sprintf("- %s: %s%s", a$text, a$verdict, ifelse(a$verdict == "right", ", nothing left behind", ""))
  s <- all[all$part == "soak", ]
  if (!nrow(s)) return(a)
  kinds <- table(s$what)
  bad <- s[s$verdict != "right", ]
  memory <- s$rss[!is.na(s$rss)]
  quarter <- function(k) memory[ceiling(4 * seq_along(memory) / length(memory)) == k]
  c(a, sprintf(paste0("- soak: %d rounds in %.0f s (%s), %d deaths of workers, %d interrupts: %d wrong; resident memory of the session ",
                      "%.1f MB in the second quarter of the rounds, %.1f MB in the last (medians)"), nrow(s), sum(s$seconds),
               paste(kinds, names(kinds), collapse = ", "), sum(s$deaths), sum(s$interrupts), nrow(bad), median(quarter(2)),
               median(quarter(4))),
    if (nrow(bad)) sprintf("  round %d, %s: %s", bad$round, bad$what, bad$verdict))
}

if (!exists("sourced")) {
  resumed <- nzchar(option("resume", ""))
  file <- option("resume", ".build/soak-load.tsv")
  dir.create(dirname(file), FALSE, TRUE)
  if (!resumed) unlink(file)
  loadNamespace("sharedmem") # its library is the sessions'
  only <- option("only", "")
  for (name in setdiff(grep(only, names(loads), value = TRUE), state(file)$what)) drive_load(name, option("scale", "1"), file)
  if (grepl(only, "soak")) drive_soak(as.numeric(option("seconds", "300")), file)
  lines <- summary_lines(state(file))
  writeLines(lines)
  if ("--report" %in% commandArgs(TRUE)) {
    source("tools/reliability.R")
    write_section("Load", "make soak-load REPORT=1", lines)
  }
  quit("no", any(state(file)$verdict != "right"))
}

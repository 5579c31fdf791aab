# How the package grows: with processors, and with items, workers, the size of results, arrays alive and the session's heap.
#
#   Rscript bench/scale.R [--quick] [--out=DIRECTORY]
#
# Needs R and the installed package alone, so that it runs on a bare machine too. It prints Markdown tables: seconds are medians of 3 runs
# (--quick: of 1), `exponent` is the slope of log(cost) over log(size) between neighbours, and of the whole row by least squares.
# With --out it draws each table as a picture there. Takes some 6 minutes on two processors, --quick half a minute.
suppressPackageStartupMessages(library(sharedmem))
args <- commandArgs(TRUE)
quick <- "--quick" %in% args
out <- sub("^--out=", "", c(grep("^--out=", args, value = TRUE), NA)[1L])
runs <- if (quick) 1L else 3L
options(sharedmem.np = NULL)
processors <- parallel::detectCores()
memory <- tryCatch(as.numeric(sub("[^0-9]*([0-9]+).*", "\\1", grep("^MemAvailable", readLines("/proc/meminfo"), value = TRUE))) * 1024,
                   error = function(e) 4e9)

now <- function() as.numeric(Sys.time())
seconds <- function(f, times = runs) {
  stats::median(vapply(seq_len(times), function(k) {
    start <- now()
    f()
    now() - start
  }, 0))
}
show_seconds <- function(s) {
  k <- findInterval(s, c(0, 1e-6, 1e-3, 1))
  ifelse(is.na(s), "", sprintf("%.3g %s", s * c(1e9, 1e6, 1e3, 1)[k], c("ns", "us", "ms", "s")[k]))
}
put <- function(...) cat(..., "\n", sep = "")

picture <- function(name, x, rows, xlab, ylab) {
  if (is.na(out) || !capabilities("png")) return(invisible())
  dir.create(out, FALSE, TRUE)
  if (!tryCatch({ # a bare machine may lack the libraries
    grDevices::png(file.path(out, paste0("scale-", name, ".png")), 900, 600, res = 110)
    TRUE
  }, error = function(e) FALSE, warning = function(w) FALSE)) return(invisible())
  on.exit(grDevices::dev.off())
  colours <- grDevices::hcl.colors(nrow(rows) + 1L, "viridis")[seq_len(nrow(rows))]
  graphics::matplot(x, t(rows), log = "xy", type = "b", pch = seq_len(nrow(rows)), lty = 1, col = colours, xlab = xlab,
                    ylab = ylab, las = 1)
  graphics::legend("topleft", rownames(rows), pch = seq_len(nrow(rows)), col = colours, bty = "n", cex = 0.8)
}

# ---- processors ----

# 1, 2, 4, ... and all of them.
ranks <- unique(c(2^(0:floor(log2(max(1L, processors)))), processors))
# The same bytecode in each process: additions that no vectorized function takes over.
spin <- function(n) {
  s <- 0
  for (k in seq_len(n)) s <- s + k %% 7
  s
}
for (k in 1:3) spin(10) # the compiler has had its turn
n_sort <- min(if (quick) 1e6 else 1e8, 2^floor(log2(memory / 64)))
n_sum <- min(if (quick) 1e6 else 2e8, 2^floor(log2(memory / 32)))
file <- tempfile("scale", if (dir.exists("/dev/shm") && !quick) "/dev/shm" else tempdir())
numbers <- empty(n_sort)
filled <- MapReduce(np = processors)$map(function(k) {
  at <- seq.int(k, min(k + 2^20 - 1, n_sort))
  numbers[at] <- stats::runif(length(at))
  NULL
}, seq.int(1, n_sort, by = 2^20))
summed <- full(n_sum, 1)
tofile(shared_view(summed, 1, min(n_sum, 1e8)), file)
place <- empty(n_sort, "i4")
counter <- full(1, 0)

work <- list(
  `64 items of R code, 2 10^6 additions each` = function(np) MapReduce(np = np)$map(function(i) spin(if (quick) 2e4 else 2e6), 1:64),
  `10^6 items function(i) i` = function(np) MapReduce(np = np)$map(function(i) i, seq_len(if (quick) 1e5 else 1e6)),
  `64 results of 16 MB` = function(np) MapReduce(np = np)$map(function(i) rep(i + 0, 2e6), seq_len(if (quick) 4L else 64L)),
  `critical, contended, 10^5 in all` = function(np) {
    pool <- MapReduce(np = np)
    pool$map(function(i) for (k in seq_len(1e5 / np)) pool$critical(counter[1] <- counter[1] + 1), seq_len(np))
  },
  `critical, one worker at a time, 10^5 each` = function(np) {
    locks <- lapply(seq_len(np), function(i) Lock())
    MapReduce(np = np)$map(function(i) {
      own <- locks[[i]]
      for (k in 1:1e5) own(NULL)
    }, seq_len(np))
  },
  `10^4 barriers` = function(np) {
    p <- Parallel(num_threads = np)
    with(p, for (k in 1:1e4) p$barrier())
  },
  argsort = function(np) argsort(numbers, out = place, np = np),
  sum = function(np) {
    old <- options(sharedmem.np = np)
    on.exit(options(old))
    sum(summed)
  },
  fromfile = function(np) fromfile(file, np = np))
names(work)[names(work) == "argsort"] <- sprintf("argsort of %s random doubles", format(n_sort, digits = 3))
names(work)[names(work) == "sum"] <- sprintf("sum of %s doubles", format(n_sum, digits = 3))
names(work)[names(work) == "fromfile"] <- sprintf("fromfile of %.0f MB", file.size(file) / 1e6)

model <- tryCatch(sub(".*: ", "", grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1L]), error = function(e) "")
put("## Growth with processors")
put()
put(sprintf("%d processors (%s), %.0f GiB free, R %s, %s; load average at the start %s.", processors, model, memory / 2^30,
            getRversion(), Sys.Date(),
            tryCatch(sub(" .*", "", readLines("/proc/loadavg")), error = function(e) "unknown")))
put("In brackets: one process's time over this one; ideal is the count of processes where they share the work, 1 where each has its own.")
put()
put("| work | ", paste(ranks, "processes", collapse = " | "), " |")
put("| --- |", strrep(" ---: |", length(ranks)))
took <- t(vapply(work, function(f) vapply(ranks, function(np) {
  if (quick) f(np)
  gc(FALSE)
  seconds(function() f(np))
}, 0), numeric(length(ranks))))
dim(took) <- c(length(work), length(ranks))
rownames(took) <- names(work)
for (w in names(work))
  put("| ", w, " | ", paste(sprintf("%s (%.2f)", show_seconds(took[w, ]), took[w, 1L] / took[w, ]), collapse = " | "), " |")
picture("processors", ranks, took, "processes", "seconds")
unlink(file)
rm(numbers, place, summed)
invisible(gc(FALSE))

# ---- how cost grows ----

# One row of each growth table: f(size) is timed. A size that would take more than `most` seconds, as the row has grown so far, is left out.
grow <- function(title, name, unit, sizes, rows, most = 20) {
  put()
  put("## ", title)
  put()
  put("| work | ", paste(format(sizes, scientific = FALSE, trim = TRUE, big.mark = " "), unit, collapse = " | "),
      " | exponent | steepest |")
  put("| --- |", strrep(" ---: |", length(sizes)), " ---: | ---: |")
  all <- t(vapply(rows, function(f) {
    took <- rep(NA_real_, length(sizes))
    for (k in seq_along(sizes)) {
      slope <- if (k > 2L) max(0, log(took[k - 1L] / took[k - 2L]) / log(sizes[k - 1L] / sizes[k - 2L])) else 0.5
      if (k > 1L && (is.na(took[k - 1L]) || took[k - 1L] * (sizes[k] / sizes[k - 1L])^slope > most)) break
      took[k] <- tryCatch(seconds(function() f(sizes[k])), error = function(e) {
        put("<!-- ", conditionMessage(e), " -->")
        NA_real_
      })
    }
    took
  }, numeric(length(sizes))))
  dim(all) <- c(length(rows), length(sizes))
  rownames(all) <- names(rows)
  for (w in names(rows)) {
    y <- log(all[w, ])
    x <- log(sizes)
    has <- !is.na(y)
    put("| ", w, " | ", paste(show_seconds(all[w, ]), collapse = " | "),
        sprintf(" | %.2f | %.2f |", if (sum(has) > 1L) stats::coef(stats::lm(y[has] ~ x[has]))[[2L]] else NA,
                if (sum(has) > 1L) max(diff(y[has]) / diff(x[has])) else NA))
  }
  picture(name, sizes, all, unit, "seconds")
}
np <- min(2L, processors)
pool <- MapReduce(np = np)
most <- if (quick) 5 else 20

grow("Workers", "workers", "workers", if (quick) c(1, 8, 32) else c(1, 2, 8, 32, 128, 512), list(
  `map of as many items` = function(n) MapReduce(np = n)$map(function(i) i, seq_len(n)),
  `map of 10^5 items` = function(n) MapReduce(np = n)$map(function(i) i, seq_len(1e5)),
  `region of one barrier` = function(n) {
    p <- Parallel(num_threads = n)
    with(p, p$barrier())
  }), most)

grow("Size of one result", "results", "bytes", 10^(if (quick) c(1, 3, 5) else 1:9), list(
  `raw vector` = function(n) pool$map(function(i) raw(n), 1:2),
  `doubles in a list` = function(n) pool$map(function(i) list(numeric(n / 8)), 1:2),
  `strings of 8 bytes` = function(n) pool$map(function(i) sprintf("%08.0f", seq_len(max(1, min(n, 1e8) / 8))), 1:2)), most)

alive <- list()
grow("Arrays alive", "arrays", "arrays", 10^(1:(if (quick) 3 else 5)), list(
  `make them, 80 bytes each` = function(n) alive <<- lapply(seq_len(n), function(i) empty(10)),
  `drop them` = function(n) {
    alive <<- NULL
    gc(FALSE)
  },
  `make them, 80 KB each` = function(n) {
    big <- lapply(seq_len(min(n, memory / 4 / 8e4)), function(i) empty(1e4))
    big <- NULL
    gc(FALSE)
  }), most)
# What many arrays cost others: a map that uses one of them.
grow("A map of 4 items while arrays are alive", "arrays-map", "arrays", 10^(1:(if (quick) 3 else 5)), list(
  `4 items` = function(n) {
    if (length(alive) != n) alive <<- lapply(seq_len(n), function(i) empty(10))
    pool$map(function(i) alive[[1L]][1], 1:4)
  }), most)
alive <- NULL

heap <- NULL
heaps <- if (quick) c(1, 64) else c(1, 256, 1024, 4096, 8192)
grow("Heap of the session", "heap", "MB", heaps[heaps < memory / 2^21], list(
  `4 items, heap of long vectors` = function(n) {
    if (is.null(heap) || attr(heap, "n") != n) {
      heap <<- NULL
      heap <<- structure(lapply(seq_len(ceiling(n / 64)), function(i) rep(i + 0, min(n, 64) * 2^17)), n = n)
    }
    pool$map(function(i) i, 1:4)
  }), most)
heap <- NULL

# Last, since 10^7 results leave the session a heap that makes each fork dearer.
grow("Items", "items", "items", 10^(2:(if (quick) 4 else 7)), list(
  `function(i) i` = function(n) pool$map(function(i) i, seq_len(n)),
  `function(i) i, retries = 1` = function(n) MapReduce(np = np, retries = 1)$map(function(i) i, seq_len(n)),
  `list(i, "a")` = function(n) pool$map(function(i) list(i, "a"), seq_len(n)),
  `star = TRUE, two arguments` = function(n) pool$map(function(a, b) a, lapply(seq_len(n), function(i) list(i, i)), star = TRUE),
  `one random number` = function(n) pool$map(function(i) stats::runif(1L), seq_len(n)),
  `reduce = function(x) x` = function(n) pool$map(function(i) i, seq_len(n), reduce = function(x) x),
  `ordered(NULL)` = function(n) pool$map(function(i) pool$ordered(NULL), seq_len(n)),
  `on_error = "collect", each fails` = function(n) MapReduce(np = np, on_error = "collect")$map(function(i) stop("no"), seq_len(n))), most)

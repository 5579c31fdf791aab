# The main job on real input: an integral over a gigabyte of shared doubles, and a count of the words
# in every text file and help page that R ships. Each is run by the pool's workers and again in one process; the
# times count everything, the making of arrays included. Exits non-zero if a result is wrong.

library(sharedmem)

seconds <- function(expr) system.time(expr, gcFirst = FALSE)[["elapsed"]]
say <- function(...) cat(sprintf(...), "\n", sep = "")
big <- function(n) format(n, big.mark = ",", scientific = FALSE)

report_times <- function(pool, parallel, serial) {
  say("   %d workers %.2f s, one process %.2f s: %.2f of the time", pool$np, parallel, serial, parallel / serial)
}

check <- function(ok, what) {
  if (!isTRUE(ok)) {
    say("   WRONG: %s", what)
    quit(status = 1)
  }
}

# ---- 1. The integral of x from 0 to 1: each chunk fills its part of the array and adds to a shared sum

integral <- function(pool, n, chunk) {
  xdx    <- empty(n)
  shmsum <- empty(integer(0))
  shmsum[] <- 0
  r <- pool$map(
    function(i) {
      s  <- seq.int(i, length.out = chunk)
      dx <- 1 / length(xdx)
      xdx[s] <- (s - 1) / length(xdx) * dx
      a <- sum(xdx[s])
      pool$critical({ shmsum[] <- shmsum[] + a })
      tuple(i, a)
    },
    seq(1, length(xdx), by = chunk),
    reduce = function(i, a) a)
  c(results = sum(unlist(r)), lock = shmsum[], array = sum(xdx))
}

demo_integral <- function(pool, chunk = 2^20) {
  n <- 128 * 2^20
  while (n * 8 > total_memory() / 3) n <- n / 2        # a small machine takes a smaller array
  say("1. Integral of x from 0 to 1 over %s doubles (%s MiB of shared memory) in %d chunks",
      big(n), big(n * 8 / 2^20), n / chunk)
  parallel <- seconds(sums <- integral(pool, n, chunk))
  gc()
  serial <- seconds(alone <- integral(MapReduce(np = 0, progress = TRUE), n, chunk))
  say("   sum of what the chunks returned   %.12f", sums[["results"]])
  say("   sum added up under the lock       %.12f", sums[["lock"]])
  say("   sum over the array                %.12f", sums[["array"]])
  check(all.equal(sums[["results"]], sums[["lock"]]), "results and lock differ")
  check(all.equal(sums[["array"]], sums[["lock"]]), "array and lock differ")
  check(all.equal(sums[["array"]], (n - 1) / n / 2), "not the integral")
  check(all.equal(sums, alone), "one process gives another sum")
  report_times(pool, parallel, serial)
}

# ---- 2. Words in every text file that R ships, one file an item, counts merged by reduce. A package's
# help pages are one file too, a database of them.

shipped_files <- function() {
  roots <- unique(normalizePath(c(R.home(), R.home("doc"), R.home("share"), R.home("include"), .Library)))
  files <- unique(normalizePath(list.files(roots, recursive = TRUE, full.names = TRUE)))
  inside <- Reduce(`|`, lapply(paste0(roots, "/"), startsWith, x = files))    # links lead elsewhere
  files <- files[inside & !grepl("/site-library/", files, fixed = TRUE)]
  help <- grep("/library/[^/]+/help/[^/]+[.]rdb$", files, value = TRUE)
  is_text <- function(file) {
    bytes <- readBin(file, "raw", min(file.size(file), 2^24))
    length(bytes) > 0L && !any(bytes == 0L) && validUTF8(rawToChar(bytes))
  }
  c(help, files[vapply(files, is_text, NA)])
}

read_words <- function(file) {
  text <- if (endsWith(file, ".rdb")) {
    package <- dirname(dirname(file))
    paste(unlist(tools::Rd_db(basename(package), lib.loc = dirname(package))), collapse = " ")
  } else {
    readChar(file, file.size(file), useBytes = TRUE)
  }
  text <- tolower(text)
  regmatches(text, gregexpr("[a-z]+", text, perl = TRUE, useBytes = TRUE))[[1L]]
}

count_words <- function(file) {
  words <- read_words(file)
  distinct <- unique(words)
  tuple(distinct, tabulate(match(words, distinct), length(distinct)))
}

# A table of counts: add(words, n) adds to it, counts() gives it in order. What was added is merged
# now and then, not each time.
word_table <- function(pending_most = 50000L) {
  words <- character()
  n <- integer()
  pending <- list()
  size <- 0L
  merge <- function() {
    all <- unlist(c(list(words), lapply(pending, `[[`, 1L)))
    counts <- unlist(c(list(n), lapply(pending, `[[`, 2L)))
    words <<- unique(all)
    n <<- as.vector(rowsum(counts, match(all, words), reorder = FALSE))
    pending <<- list()
    size <<- 0L
  }
  list(
    add = function(words, n) {
      pending[[length(pending) + 1L]] <<- list(words, n)
      size <<- size + length(words)
      if (size > pending_most) merge()
      sum(n)
    },
    counts = function() {
      merge()
      i <- order(-n, words, method = "radix")
      structure(n[i], names = words[i])
    })
}

demo_words <- function(pool) {
  files <- shipped_files()
  say("2. Words in the %s text and help files that R ships (%.1f MB), one file an item",
      big(length(files)), sum(file.size(files)) / 1e6)
  table <- word_table()
  parallel <- seconds({
    pool$map(count_words, files, reduce = table$add)
    counts <- table$counts()
  })
  table <- word_table()
  serial <- seconds({
    for (file in files) do.call(table$add, unclass(count_words(file)))
    alone <- table$counts()
  })
  say("   %s words, %s of them different", big(sum(counts)), big(length(counts)))
  say("   most frequent: %s", paste(names(counts)[1:6], big(counts[1:6]), collapse = ", "))
  check(identical(counts, alone), "one process counts otherwise")
  say("   the same counts as in one process")
  report_times(pool, parallel, serial)
}

pool <- MapReduce(progress = TRUE)
say("sharedmem %s, R %s, %d workers", format(packageVersion("sharedmem")), getRversion(), pool$np)
demo_integral(pool)
demo_words(pool)

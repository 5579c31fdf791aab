# The fixed cost of a map where the session holds gigabytes: fork() copies the page tables of all of it. Each heap is
# measured in a session of its own.

gib <- size(4, 0.25)
section(sprintf("A map of 2 empty items with %g GB live in the session", gib),
        "Each heap has a session of its own. `hugetlb=1`: the session was started with `GLIBC_TUNABLES=glibc.malloc.hugetlb=1`.")

in_heap <- function(kind, gib, who, times, block) {
  n <- gib * 1e9 / 8 / 40
  heap <- lapply(1:40, function(k) if (kind == "shared") full(n, k) else rep(as.double(k), n))
  kib <- function(field) {
    file <- "/proc/self/smaps_rollup"
    line <- if (file.exists(file)) grep(paste0("^", field, ":"), readLines(file), value = TRUE)
    if (length(line)) as.numeric(gsub("[^0-9]", "", line)) else NA
  }
  found <- compare(c(
    map_contenders(1:2, bare(function(i) NULL), who),
    list(`limit: fork, answer, reap in C` = floor_of(function() .Call(floors$fork, 2L)),
         `limit: one fork alone` = floor_of(function() own_time(.Call(floors$fork_alone))))),
    times = times, block = block, check = function(r) length(r) == 2L, budget = times * block)
  stopifnot(heap[[40L]][n] == 40)
  list(found = found, huge = kib("AnonHugePages") / kib("Rss"))
}

few <- c("sharedmem", "mclapply", "bettermc")
all <- c(few, size(c("future.apply", "BiocParallel", "foreach/doMC", "pbmcapply"), character()))
heaps <- list(
  list("R vectors", "vectors", character(), all, "<= mclapply", function(m) m[["sharedmem"]] <= m[["mclapply"]]),
  list("R vectors, hugetlb=1", "vectors", "GLIBC_TUNABLES=glibc.malloc.hugetlb=1", few, "< 20 ms", function(m) m[["sharedmem"]] < 0.02),
  list("shared arrays", "shared", character(), few, "< 20 ms", function(m) m[["sharedmem"]] < 0.02))
for (heap in heaps) {
  title <- sprintf("%g GB of %s", gib, heap[[1L]])
  measured <- function() in_fresh_session(in_heap, heap[[2L]], gib, heap[[4L]], size(7L, 2L), size(5L, 2L), env = heap[[3L]])
  got <- tryCatch(measured(), error = function(e) {
    put(title, ": ", conditionMessage(e))
    NULL
  })
  if (is.null(got)) next
  add_work(title, got$found, heap[[5L]], heap[[6L]],
           rest = "copying the page table in one fork, where the limit has two; else as for a small session")
  if (!is.na(got$huge)) put(sprintf("%s: %.0f%% of the resident memory in huge pages.  ", title, 100 * got$huge))
}

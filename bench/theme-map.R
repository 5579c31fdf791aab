# The map itself: its fixed cost, its cost an item, uneven items. First beside base R, in a small session; then beside the
# other packages, which make the session larger and with it each fork.

section("The map", c(paste0("The first works are measured before any other package is loaded; those \"beside other packages\" with all ",
                            "of them loaded."),
                     daemons_text))

fork_floor <- list(`limit: fork, answer, reap in C` = floor_of(function() .Call(floors$fork, 2L)))
itself <- bare(function(i) i)
nothing <- bare(function(i) NULL)
base <- c("mclapply", "mclapply, not prescheduled")
clusters <- c("parLapplyLB, FORK", "parLapplyLB, PSOCK")
others <- c("future.apply", "BiocParallel", "foreach/doMC", "pbmcapply", "bettermc", "mirai")

work("map of 2 empty items", c(map_contenders(1:2, nothing, c("sharedmem", base)),
  list(`sharedmem, np = 0: what R does without a fork` = local({
    here <- MapReduce(np = 0)
    function() here$map(nothing, 1:2)
  })), fork_floor),
  times = size(11L, 3L), block = size(20L, 5L), check = function(r) length(r) == 2L && is.null(r[[2L]]),
  goal = "<= 0.65 of mclapply", met = function(m) m[["sharedmem"]] <= 0.65 * m[["mclapply"]],
  rest = paste0("both workers are forked before anything is read: two forks and two ends as mclapply's; R code here, and the pages that ",
                "the workers and the session copy after a fork"))
work("2 items of 5 ms, so that each gets a worker", c(map_contenders(1:2, bare(function(i) Sys.sleep(0.005)), c("sharedmem", base)),
  list(`limit: one of them` = function() Sys.sleep(0.005))),
  times = size(11L, 3L), block = size(10L, 5L), check = function(r) length(r) == 2L)

for (n in c(size(1e5, 1e4), if (!quick) 1e6)) {
  x <- seq_len(n)
  work(sprintf("%.0e items `function(i) i`", n), c(
    map_contenders(x, itself, c("sharedmem", "lapply", "mclapply", if (n < 1e6) clusters)),
    list(`limit: lapply of half` = function() lapply(seq_len(n / 2), itself))),
    times = size(9L, 3L), block = if (n > 1e5) 1L else size(3L, 1L), check = function(r) identical(unlist(r), x),
    goal = "<= mclapply", met = function(m) m[["sharedmem"]] <= m[["mclapply"]],
    rest = if (n > 1e5) paste0("all three processes want two processors: closure calls, variables and clock in the workers 1.3 times ",
                               "the limit, reading and collecting in the session 0.6 times, pages copied after the forks 0.5 times")
           else paste0("pages of R's heap copied at their first write after the fork, 18 ms in each worker and 15 here; reading 12 ms; ",
                       "the forks 4 ms"))
}

naps <- c(rep(0.05, 20), rep(0.001, 180)) * size(1, 0.3)
work("200 uneven items: 20 of 50 ms first, the rest 1 ms", c(
  map_contenders(naps, bare(function(s) Sys.sleep(s)), c("sharedmem", base[if (quick) 1L else 1:2], clusters)),
  list(`limit: half of the sum` = stated(sum(naps) / 2),
       `limit: half of what the naps take one after the other` = function() {
         start <- now()
         for (nap in naps) Sys.sleep(nap)
         own_time((now() - start) / 2)
       })), budget = size(20, 0.5), check = function(r) length(r) == 200L,
  goal = "<= 1.03 of the limit", met = function(m) m[["sharedmem"]] <= 1.03 * m[["limit: half of the sum"]],
  rest = "what a nap takes longer than it is asked for (the second limit), the forks 4 ms, up to 1 ms at the end")

# ---- beside the other packages; those that send each item by itself get fewer ----

work("2 empty items, beside other packages", c(map_contenders(1:2, nothing, c("sharedmem", "mclapply", clusters, others)), fork_floor),
  block = size(10L, 3L), check = function(r) length(r) == 2L, budget = size(10, 1))
n <- 1e5
if (!quick) work(sprintf("%.0e items, beside other packages", n),
                 map_contenders(seq_len(n), itself, c("sharedmem", "mclapply", "future.apply", "bettermc")),
  check = function(r) identical(unlist(r), seq_len(n)), budget = size(10, 1))
few <- size(2000, 50)
work(sprintf("%.0f items, each scheduled by itself", few),
  map_contenders(seq_len(few), itself, setdiff(c("sharedmem", base[2L], clusters, others), if (quick) c("BiocParallel", "pbmcapply"))),
  check = function(r) identical(unlist(r), seq_len(few)), budget = size(6, 0.5))
if (!quick)
  work("200 uneven items, beside other packages", map_contenders(naps, bare(function(s) Sys.sleep(s)), c("sharedmem", others)),
    budget = 14, check = function(r) length(r) == 200L)

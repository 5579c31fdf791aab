# The ways to map a function over items, by name; what needs daemons has them started before anything is timed.

options(mc.cores = 2L, future.globals.maxSize = Inf)
peers <- new.env()

# A cluster of two, started when first asked for. A FORK cluster sees what exists then.
cluster <- function(type) {
  if (is.null(peers[[type]])) peers[[type]] <- parallel::makeCluster(2L, type = type)
  peers[[type]]
}
mirai_daemons <- function() {
  if (is.null(peers$mirai)) peers$mirai <- mirai::daemons(2)
}
stop_daemons <- function() {
  for (type in c("FORK", "PSOCK")) if (!is.null(peers[[type]])) parallel::stopCluster(peers[[type]])
  if (!is.null(peers$mirai)) mirai::daemons(0)
  if (!is.null(peers$bioc)) BiocParallel::bpstop(peers$bioc)
  rm(list = ls(peers), envir = peers)
}

the_pool <- sharedmem::MapReduce(np = 2)

# Each is a function of items and a function that finds what it needs by itself (bare()).
mappers <- list(
  sharedmem = function(x, f) the_pool$map(f, x),
  lapply = function(x, f) lapply(x, f),
  mclapply = function(x, f) parallel::mclapply(x, f, mc.cores = 2),
  `mclapply, not prescheduled` = function(x, f) parallel::mclapply(x, f, mc.cores = 2, mc.preschedule = FALSE),
  `parLapplyLB, FORK` = function(x, f) parallel::parLapplyLB(peers$FORK, x, f),
  `parLapplyLB, PSOCK` = function(x, f) parallel::parLapplyLB(peers$PSOCK, x, f),
  future.apply = function(x, f) future.apply::future_lapply(x, f),
  BiocParallel = function(x, f) BiocParallel::bplapply(x, f, BPPARAM = peers$bioc),
  `foreach/doMC` = function(x, f) {
    `%dopar%` <- foreach::`%dopar%`
    foreach::foreach(i = x) %dopar% f(i)
  },
  pbmcapply = function(x, f) pbmcapply::pbmclapply(x, f, mc.cores = 2, ignore.interactive = FALSE),
  bettermc = function(x, f) bettermc::mclapply(x, f, mc.cores = 2),
  mirai = function(x, f) mirai::mirai_map(x, f)[],
  `mori + mclapply` = function(x, f) lapply(parallel::mclapply(x, function(i) mori::share(f(i)), mc.cores = 2), identity))

# What a way needs, and what is done for it before the timing.
mapper_needs <- list(
  future.apply = "future.apply", BiocParallel = "BiocParallel", `foreach/doMC` = "doMC", pbmcapply = "pbmcapply",
  bettermc = "bettermc", mirai = "mirai", `mori + mclapply` = "mori")
mapper_starts <- list(
  `parLapplyLB, FORK` = function() cluster("FORK"),
  `parLapplyLB, PSOCK` = function() cluster("PSOCK"),
  future.apply = function() future::plan("multicore", workers = 2),
  BiocParallel = function() peers$bioc <- BiocParallel::MulticoreParam(2, progressbar = FALSE),
  `foreach/doMC` = function() doMC::registerDoMC(2),
  mirai = mirai_daemons)

all_mappers <- setdiff(names(mappers), c("lapply", "mori + mclapply"))
forking_mappers <- setdiff(all_mappers, c("parLapplyLB, FORK", "parLapplyLB, PSOCK", "mirai"))
daemons_text <- "The daemons of the clusters and of mirai are started before anything is timed; BiocParallel and future fork for each map."

# Contenders for mapping `f` over `x`, those of the names `who`.
map_contenders <- function(x, f, who = all_mappers) {
  force(x)
  force(f)
  out <- lapply(who, function(w) {
    package <- mapper_needs[[w]]
    if (!is.null(package) && !requireNamespace(package, quietly = TRUE)) return(absent(paste(package, "is not installed")))
    if (!is.null(mapper_starts[[w]])) {
      started <- tryCatch(mapper_starts[[w]](), error = function(e) absent(paste("did not start:", conditionMessage(e))))
      if (inherits(started, "absent")) return(started)
    }
    mapper <- mappers[[w]]
    function() mapper(x, f)
  })
  stats::setNames(out, who)
}

# Damaged files for read_npy(), fromfile() and memmap(): .npy and .npz, bare elements, descriptors of bigmemory and filematrix.
#   Rscript tools/fuzz-files.R [--seconds=60] [--seed=N] [--runs=N]
# A reader gives an array whose elements can all be read, or an error of class sharedmem_error, soon and in little memory.
# fromfile() is held against readBin(). That what read_npy() takes is what NumPy takes is shown by tests/testthat/test-npy-fuzz.R.
suppressMessages(library(sharedmem))
source("tools/fuzz-common.R")

dir <- tempfile("fuzz-files")
dir.create(dir)
in_dir <- function(...) file.path(dir, ...)

# ---- seeds: a list of the files that belong together; the first is the one to read, and `damage` the ones to change ----

number_bytes <- function(x, size = NA_integer_, endian = "little") writeBin(x, raw(), size = size, endian = endian)
npy <- function(x, order) {
  f <- in_dir("seed.npy")
  write_npy(x, f, order = order)
  readBin(f, "raw", 1e5)
}
# A ZIP archive of one or two stored or deflated members, as numpy.savez() makes it.
zip <- function(members, deflated) {
  local <- central <- raw()
  for (name in names(members)) {
    plain <- members[[name]]
    packed <- if (deflated) { z <- memCompress(plain, "gzip"); z[3:(length(z) - 4L)] } else plain
    n <- charToRaw(name)
    about <- c(number_bytes(c(20L, 0L, if (deflated) 8L else 0L, 0L, 33L), 2L), crc32(plain),
               number_bytes(c(length(packed), length(plain)), 4L),
               number_bytes(c(length(n), 0L), 2L))
    central <- c(central, number_bytes(0x02014b50L, 4L), number_bytes(20L, 2L), about, number_bytes(c(0L, 0L, 0L), 2L),
                 number_bytes(c(0L, length(local)), 4L), n)
    local <- c(local, number_bytes(0x04034b50L, 4L), about, n, packed)
  }
  c(local, central, number_bytes(0x06054b50L, 4L), number_bytes(c(0L, 0L, length(members), length(members)), 2L),
    number_bytes(c(length(central), length(local)), 4L), number_bytes(0L, 2L))
}
crc_table <- vapply(0:255, function(n) {
  for (k in 1:8) n <- if (n %% 2 == 1) xor_word(0xEDB88320, n %/% 2) else n %/% 2
  n
}, 1)
crc32 <- function(bytes) {
  crc <- 2^32 - 1
  for (b in as.integer(bytes)) crc <- xor_word(crc_table[bitwXor(crc %% 256, b) + 1L], crc %/% 256)
  crc <- 2^32 - 1 - crc
  number_bytes(as.integer(c(crc %% 65536, crc %/% 65536)), 2L)
}

arrays <- list(copy(1:6 + 0), copy(matrix(1:6, 2L)), copy(c("a", "bcd")), copy(as.raw(1:5)), copy(array(1:24 / 2, 2:4)),
               copy(c(1i, 2)), empty(c(0, 3)))
npy_seeds <- unlist(lapply(arrays, function(x) lapply(c("F", "C"), function(o) npy(x, o))), recursive = FALSE)
zip_seeds <- c(lapply(c(FALSE, TRUE), function(d) zip(list(a.npy = npy_seeds[[1L]], bc.npy = npy_seeds[[3L]]), d)),
               list(zip(list(), FALSE)))
desc <- paste("new(\"big.matrix.descriptor\", description = list(sharedType = \"FileBacked\", filename = \"x.bin\",",
              "dirname = \"/nowhere/\",",
              "totalRows = 2L, totalCols = 3L, rowOffset = c(0, 2), colOffset = c(1, 2), nrow = 2, ncol = 2, rowNames = NULL,",
              "colNames = c(\"a\", \"b\"), type = \"double\", separated = FALSE))")
filematrix <- "# Information file for filematrix object.\nnrow=2\nncol=3\ntype=double\nsize=8\n"
bare <- number_bytes(as.numeric(1:6))

tokens <- c("0", "1", "-1", "2", "1e9", "4294967296", "9223372036854775807", "1e300", "NA", "NULL",
            "(", ")", "{", "}", "[", ",", ":", "=", "'", "\"",
            "<f8", ">i4", "S3", "True", "shape", "descr", "nrow", "type", "integer", "double", "list(", "c(", "`", "\\", "\n", "PK\001\002")

read_one <- function(path, read) {
  before <- peak()
  started <- proc.time()[["elapsed"]]
  x <- tryCatch(read(path), sharedmem_error = function(e) NULL)
  for (a in if (is.list(x) && !is_shared_array(x)) x else if (!is.null(x)) list(x)) {
    v <- a[]
    if (length(v) != length(a) || !identical(dim(v), if (length(dim(a)) > 1L) as.integer(dim(a))))
      stop("its elements are not those of its shape")
    if (length(v) * 1 > sum(file.size(list.files(dir, full.names = TRUE))) * 8) stop("an array longer than its file")
  }
  if (proc.time()[["elapsed"]] - started > 20) stop("it took more than 20 s")
  if (peak() - before > 300) stop("it took more than 300 MB")
  !is.null(x)
}
peak <- function() as.numeric(gsub("[^0-9]", "", grep("^VmPeak", readLines("/proc/self/status"), value = TRUE))) / 1024
if (!file.exists("/proc/self/status")) peak <- function() 0

npy_run <- function() {
  writeBin(mutate(pick(npy_seeds), tokens, 90), in_dir("x.npy"))
  if (chance(0.5)) read_one(in_dir("x.npy"), function(f) read_npy(f, np = 1)) else read_one(in_dir("x.npy"), memmap)
}
npz_run <- function() {
  b <- pick(zip_seeds)
  writeBin(if (chance(0.5)) mutate(b, tokens, length(b)) else rev(mutate(rev(b), tokens, 180)), in_dir("x.npz"))
  read_one(in_dir("x.npz"), function(f) read_npy(f, np = 1))
}
text_run <- function(seed, name, bin) {
  writeBin(mutate(charToRaw(seed), tokens, nchar(seed)), in_dir(name))
  writeBin(bare[seq_len(pick(c(48L, 48L, 48L, 47L, 0L)))], in_dir(bin))
  read_one(in_dir(name), function(f) memmap(f, mode = pick(c("r", "r+", "c"))))
}
# Bare elements, from any place on and in any number.
bare_run <- function() {
  types <- list(f8 = list("double", 8L), f4 = list("double", 4L), i1 = list("integer", 1L), i2 = list("integer", 2L),
                i4 = list("integer", 4L), c16 = list("complex", 16L), raw = list("raw", 1L))
  dtype <- pick(names(types))
  size <- types[[dtype]][[2L]]
  bytes <- as.raw(sample.int(256L, sample(0:200, 1L), TRUE) - 1L)
  writeBin(bytes, in_dir("bare.bin"))
  offset <- pick(list(0, 0, 1, sample(0:250, 1L), 2^52, length(bytes)))
  count <- pick(list(-1, -1, 0, 1, sample(0:60, 1L), 2^50))
  swap <- chance(0.3)
  endian <- if (swap && dtype != "raw") "swap" else .Platform$endian
  read <- tryCatch(fromfile(in_dir("bare.bin"), dtype, count, offset, endian)[], sharedmem_error = function(e) NULL)
  rest <- length(bytes) - offset
  n <- if (count < 0) floor(rest / size) else count
  can <- rest >= 0 && n * size <= rest && (count >= 0 || rest %% size == 0)
  if (can != !is.null(read))
    stop(sprintf("fromfile('%s', count = %g, offset = %g) of %d bytes %s", dtype, count, offset, length(bytes),
                 if (can) "failed" else "gave elements"))
  if (!can) return(FALSE)
  part <- bytes[offset + seq_len(n * size)]
  want <- readBin(part, types[[dtype]][[1L]], n, size = if (dtype %in% c("c16", "raw")) NA_integer_ else size, endian = endian)
  if (dtype != "f4" && !identical(read, want) && !identical(is.na(read), is.na(want))) stop("fromfile() and readBin() differ")
  if (!isTRUE(all.equal(read[!is.na(read)], want[!is.na(want)]))) stop("fromfile() and readBin() differ")
  mapped <- tryCatch(memmap(in_dir("bare.bin"), dtype, n, "r", offset)[], sharedmem_error = function(e) NULL)
  if (!swap && n > 0 && !identical(mapped, read)) stop("memmap() and fromfile() differ")
  TRUE
}

taken <- 0
fuzz_loop(function() {
  unlink(list.files(dir, full.names = TRUE))
  taken <<- taken + switch(sample.int(5L, 1L), npy_run(), npz_run(), text_run(desc, "x.desc", "x.bin"),
                            text_run(filematrix, "x.desc.txt", "x.bmat"),
                           bare_run())
})
if (runs_done() > 500 && taken < runs_done() / 20) cat("finding: nearly nothing is taken\n")
unlink(dir, recursive = TRUE)
fuzz_end()

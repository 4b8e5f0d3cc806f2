# docs/splits.md from the tables of crossmamba eval; file names are split-SET.SPLIT.tsv.
function cell(set, kind, model, metric,   k) {
  k = set SUBSEP kind SUBSEP model SUBSEP metric
  return (k in pooled) ? sprintf("%.3f [%.3f, %.3f]", pooled[k], low[k], high[k]) : "-"
}
function table(title, set, metric,   m, s, n) {
  if (!((set SUBSEP "stratified" SUBSEP models[1] SUBSEP metric) in pooled)) return
  printf "\n## %s, %s\n\n| model |", title, metric
  for (s = 1; s <= n_splits; s++) printf " %s |", shown[s]
  printf "\n|---|---|---|---|---|---|\n"
  for (m = 1; m <= n_models; m++) {
    printf "| %s |", models[m]
    for (s = 1; s <= n_splits; s++) printf " %s |", cell(set, splits[s], models[m], metric)
    printf "\n"
  }
}
BEGIN {
  FS = "\t"
  n_models = split("crossmamba mlp kernel neighbour composition id-only", models, " ")
  n_splits = split("stratified cold-a cold-b cold-both cluster-both", splits, " ")
  split("random, 5 folds;new RNA, 5 folds;new partner, 5 folds;both new, 3 x 3;both dissimilar, 3 x 3", shown, ";")
}
FNR == 1 { file = FILENAME; sub(/.*\//, "", file); sub(/^split-/, "", file); split(file, part, "."); next }
$2 == "all" {
  k = part[1] SUBSEP part[2] SUBSEP $1 SUBSEP $3
  pooled[k] = $4; low[k] = $5; high[k] = $6
}
END {
  print "# Hard splits\n"
  print "Made by `tools/results_splits.sh PROGRAM FOLDER` (datasets/README.md), the last step of `make results`: honest track, networks with"
  print "`" settings "`, one seed; pooled out-of-fold values with 95 %"
  print "intervals by bootstrap over molecules. *Random* folds share molecules between training and test. *New RNA*, *new partner*:"
  print "no RNA, no protein or small molecule of a test pair trains; *both new*: neither; *both dissimilar*: no molecule of estimated"
  print "identity 0.8 (RNA), 0.4 (protein) or Tanimoto coefficient 0.6 (small molecule) to one of a test pair trains, directly"
  print "or through a chain. Repeated pairs are joined, contradictory ones dropped. The inner validation fold is of the same"
  print "kind. What a model scores on random folds and loses here it owed to molecules that it had seen."
  print "\nOn these small sets the kernel ridge regression on k-mers and fingerprints (`kernel`) is ahead of every network wherever"
  print "one side of a pair is known, and nothing is far from chance when both are dissimilar. Its ridge and shape are chosen on inner"
  print "folds, but its list of kernels, the centring and the Gaussian were settled by cross-validation on random 70 % of RPI1460 and on training"
  print "parts of R-SIM, which overlap these test folds: read its lead as somewhat optimistic."
  table("RPI1460, random negatives", "rpi1460", "MCC")
  table("R-SIM", "rsim", "Pearson")
}

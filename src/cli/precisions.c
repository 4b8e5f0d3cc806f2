/* The table of precisions that embed and selftest print. */
#include "cli/common.h"

static int print_line(void *context, const cm_precision_line *line) {
    FILE *stream = context;
    fprintf(stream, "%s\t%.7f\t%.7f\t%ld\t%.0f\t%s\n", cm_precision_name(line->precision), line->least,
            line->mean, line->tokens, line->tokens_per_second, line->fast ? "yes" : "no");
    return ferror(stream);
}

cm_status cm_cli_precisions(const cm_embed_options *options, FILE *stream, const cm_runtime *runtime,
                            cm_error *error) {
    fprintf(stream, "precision\tleast_cosine\tmean_cosine\ttokens\ttokens_per_second\tfaster_here\n");
    return cm_embedder_precisions(options, print_line, stream, runtime, error);
}

/* Normalising RNA and protein letters. */
#include "bio/sequence.h"

#include <stdbool.h>
#include <string.h>

static const size_t residue_limit = 50000000;

const char *cm_molecule_type_name(cm_molecule_type type) {
    static const char *const names[] = {"RNA", "protein", "small molecule"};
    return (unsigned)type < 3 ? names[type] : "unknown";
}

/* Letters (upper case) of a molecule type: those that stay, those that are spelled otherwise (pairs of
 * from, to), and those without identity. */
typedef struct alphabet {
    const char *stay, *respelled, *unknown;
    char unknown_as;
    const char *expected;
} alphabet;

static const alphabet alphabets[] = {
    [CM_RNA] = {"ACGU", "TU", "RYSWKMBDHVNXI-._", 'N', "an RNA letter (A C G U T, IUPAC codes, N, -)"},
    [CM_PROTEIN] = {"ACDEFGHIKLMNPQRSTVWY", "UCOK", "BZJX*-._", 'X',
                    "an amino acid letter (the 20, U O B Z J X, -)"},
};

const char *cm_residues(cm_molecule_type type) {
    return type == CM_RNA || type == CM_PROTEIN ? alphabets[type].stay : "";
}

/* Where a message points to. */
typedef struct source {
    const char *file, *name;
    cm_error *error;
} source;

static cm_status fail_record(const source *from, const char *expected, const char *found) {
    cm_text place = cm_format("record %s", from->name != NULL ? from->name : "");
    return cm_fail(from->error, CM_DATA, from->file, from->name != NULL ? place.text : NULL, expected, "%s",
                   found);
}

static bool has(const char *set, char letter) {
    return letter != '\0' && strchr(set, letter) != NULL;
}

static char upper(char letter) {
    return letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A') : letter;
}

/* The normalised spelling of an upper-case letter, NUL when the alphabet has none. */
static char spell(const alphabet *letters, char letter) {
    if (has(letters->stay, letter)) return letter;
    for (const char *pair = letters->respelled; *pair != '\0'; pair += 2)
        if (pair[0] == letter) return pair[1];
    return has(letters->unknown, letter) ? letters->unknown_as : '\0';
}

bool cm_is_amino_letter(char letter) {
    return has("EFJLOPQZ", letter);
}

void cm_sequence_faults(cm_molecule_type type, const char *text, size_t length, int64_t count[26],
                        int64_t *others) {
    for (size_t i = 0; i < length; i++) {
        char letter = upper(text[i]);
        bool end = type == CM_PROTEIN && i + 1 == length && letter == '*';
        if (letter == '|' || end || spell(&alphabets[type], letter) != '\0') continue;
        if (letter >= 'A' && letter <= 'Z')
            count[letter - 'A']++;
        else
            ++*others;
    }
}

static cm_status refuse_letter(const source *from, cm_molecule_type type, char letter, size_t position) {
    bool amino = type == CM_RNA && cm_is_amino_letter(upper(letter));
    return fail_record(
        from, alphabets[type].expected,
        cm_format("'%c' at position %zu%s", letter, position, amino ? " (an amino acid letter)" : "").text);
}

static void count(cm_sequence_report *report, const alphabet *letters, char raw, char spelled) {
    report->lower_case += raw >= 'a' && raw <= 'z';
    report->thymine += spelled == 'U' && upper(raw) == 'T';
    report->stops += raw == '*';
    report->unknown += spelled == letters->unknown_as;
}

/* Writes the spelling of text[length]; *written counts letters and chain breaks. */
static cm_status spell_all(cm_molecule_type type, const char *text, size_t length, char *out, size_t *written,
                           cm_sequence_report *report, const source *from) {
    const alphabet *letters = &alphabets[type];
    char spelling[256];
    for (int byte = 0; byte < 256; byte++)
        spelling[byte] = byte < 128 ? spell(letters, upper((char)byte)) : '\0';
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        char spelled = spelling[(unsigned char)text[i]];
        if (text[i] == '|') {
            if (n == 0 || out[n - 1] == '|' || i + 1 == length)
                return fail_record(from, "residues on both sides of '|'",
                                   cm_format("an empty chain at position %zu", i + 1).text);
            report->chains++;
            spelled = '|';
        } else if (spelled == '\0') {
            return refuse_letter(from, type, text[i], i + 1);
        } else {
            count(report, letters, text[i], spelled);
        }
        out[n++] = spelled;
    }
    *written = n;
    return CM_OK;
}

cm_status cm_sequence_normalise(cm_molecule_type type, const char *text, size_t length, char *out,
                                size_t *out_length, cm_sequence_report *report, const char *file,
                                const char *name, cm_error *error) {
    source from = {file, name, error};
    cm_sequence_report met = {.chains = 1};
    if (length > residue_limit)
        return fail_record(&from, "at most 50000000 residues", cm_format("%zu", length).text);
    bool stop = type == CM_PROTEIN && length > 0 && text[length - 1] == '*';
    met.stops += stop;
    if (stop) length--;
    if (length == 0) return fail_record(&from, "a sequence", "none (it is empty)");
    size_t written = 0;
    CM_TRY(spell_all(type, text, length, out, &written, &met, &from));
    out[written] = '\0';
    *out_length = written;
    if (report != NULL) *report = met;
    return CM_OK;
}

/* SHA-256 by libcrypto. */
#include "base/sha256.h"

#include "base/alloc.h"
#include <openssl/evp.h>
#include <stdio.h>

struct cm_sha256 {
    EVP_MD_CTX *context;
};

static void destroy(cm_sha256 *hash) {
    EVP_MD_CTX_free(hash->context);
    cm_free(hash);
}

cm_sha256 *cm_sha256_create(void) {
    cm_sha256 *hash = cm_new(1, sizeof *hash);
    if (!hash) return NULL;
    hash->context = EVP_MD_CTX_new();
    if (!hash->context || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
        destroy(hash);
        return NULL;
    }
    return hash;
}

void cm_sha256_add(cm_sha256 *hash, const void *bytes, size_t len) {
    EVP_DigestUpdate(hash->context, bytes, len);
}

void cm_sha256_finish(cm_sha256 *hash, char hex[65]) {
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    EVP_DigestFinal_ex(hash->context, digest, NULL);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    destroy(hash);
}

bool cm_sha256_of(const void *bytes, size_t len, char hex[65]) {
    cm_sha256 *hash = cm_sha256_create();
    if (!hash) return false;
    cm_sha256_add(hash, bytes, len);
    cm_sha256_finish(hash, hex);
    return true;
}

/* Changes the Windows certificate store by its own API, independently of the program under test.
 *
 *   certificates import FILE.p12 PASSWORD   as the wizard of Windows does: into the user's personal store, and those of
 *                                           authorities into that of intermediate ones; prints STORE<tab>THUMBPRINT of each
 *   certificates remove THUMBPRINT          deletes one from both stores, if it is there
 */
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <wincrypt.h>

static const wchar_t *const PERSONAL = L"MY", *const INTERMEDIATE = L"CA";

static int failed(const char *what)
{
    fprintf(stderr, "%s: error %lx\n", what, GetLastError());
    return 1;
}

/* The user's own part of the store: in wine, deleting from the whole has no effect. */
static HCERTSTORE opened(const wchar_t *name)
{
    return CertOpenStore(CERT_STORE_PROV_SYSTEM_REGISTRY_W, 0, 0, CERT_SYSTEM_STORE_CURRENT_USER, name);
}

static void thumbprint(PCCERT_CONTEXT certificate, wchar_t *text)
{
    BYTE digest[20] = {0};
    DWORD length = sizeof digest, i;
    CertGetCertificateContextProperty(certificate, CERT_SHA1_HASH_PROP_ID, digest, &length);
    for (i = 0; i < length; i++)
        swprintf(text + 2 * i, 3, L"%02X", digest[i]);
}

/* Gives the certificate's private key a container of its own: wine imports all keys into one, where each replaces the one before. */
static BOOL separate(PCCERT_CONTEXT certificate, wchar_t *container)
{
    CRYPT_KEY_PROV_INFO info = {container, (wchar_t *)MS_ENHANCED_PROV_W, PROV_RSA_FULL, 0, 0, NULL, AT_KEYEXCHANGE};
    BYTE blob[4096];
    DWORD size = sizeof blob, kind;
    HCRYPTPROV from, to;
    HCRYPTKEY key, copy;
    BOOL done = FALSE;
    if (!CryptAcquireCertificatePrivateKey(certificate, 0, NULL, &from, &kind, NULL))
        return FALSE;
    if (CryptGetUserKey(from, kind & 3, &key) || CryptGetUserKey(from, AT_KEYEXCHANGE, &key)) {
        CryptAcquireContextW(&to, container, MS_ENHANCED_PROV_W, PROV_RSA_FULL, CRYPT_DELETEKEYSET);
        done = CryptExportKey(key, 0, PRIVATEKEYBLOB, 0, blob, &size) &&
               CryptAcquireContextW(&to, container, MS_ENHANCED_PROV_W, PROV_RSA_FULL, CRYPT_NEWKEYSET);
        done = done && CryptImportKey(to, blob, size, 0, CRYPT_EXPORTABLE, &copy);
        if (done) {
            CryptDestroyKey(copy);
            CryptReleaseContext(to, 0);
        }
        CryptDestroyKey(key);
    }
    CryptReleaseContext(from, 0);
    return done && CertSetCertificateContextProperty(certificate, CERT_KEY_PROV_INFO_PROP_ID, 0, &info);
}

static int import(const wchar_t *path, const wchar_t *password)
{
    static BYTE bytes[65536];
    CRYPT_DATA_BLOB file = {0, bytes};
    PCCERT_CONTEXT one = NULL;
    HCERTSTORE from, to;
    const wchar_t *name;
    wchar_t text[41];
    FILE *in = _wfopen(path, L"rb");
    if (!in)
        return failed("open");
    file.cbData = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    if (!(from = PFXImportCertStore(&file, password, CRYPT_EXPORTABLE | CRYPT_USER_KEYSET)))
        return failed("PFXImportCertStore");
    while ((one = CertEnumCertificatesInStore(from, one))) {
        BYTE usage = 0;
        CertGetIntendedKeyUsage(X509_ASN_ENCODING, one->pCertInfo, &usage, sizeof usage);
        name = usage & CERT_KEY_CERT_SIGN_KEY_USAGE ? INTERMEDIATE : PERSONAL;
        thumbprint(one, text);
        if (name == PERSONAL && !separate(one, text))
            return failed("the private key");
        to = opened(name);
        if (!to || !CertAddCertificateContextToStore(to, one, CERT_STORE_ADD_REPLACE_EXISTING, NULL))
            return failed("CertAddCertificateContextToStore");
        CertCloseStore(to, 0);
        printf("%ls\t%ls\n", name, text);
    }
    CertCloseStore(from, 0);
    return 0;
}

static void remove_from(const wchar_t *name, const wchar_t *wanted)
{
    HCERTSTORE store = opened(name);
    PCCERT_CONTEXT one = NULL;
    wchar_t text[41];
    while (store && (one = CertEnumCertificatesInStore(store, one))) {
        thumbprint(one, text);
        if (wcscmp(text, wanted) == 0) {
            CertDeleteCertificateFromStore(one);
            break;
        }
    }
    if (store)
        CertCloseStore(store, 0);
}

int wmain(int count, wchar_t **words)
{
    if (count == 4 && wcscmp(words[1], L"import") == 0)
        return import(words[2], words[3]);
    if (count == 3 && wcscmp(words[1], L"remove") == 0) {
        remove_from(PERSONAL, words[2]);
        remove_from(INTERMEDIATE, words[2]);
        return 0;
    }
    fputs("usage: certificates import FILE.p12 PASSWORD | remove THUMBPRINT\n", stderr);
    return 2;
}

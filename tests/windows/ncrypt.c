/* The part of `ncrypt.dll` that signing with a certificate of the store needs. That of wine 8 does not sign, and knows no
 * keys of CryptoAPI, which `CryptAcquireCertificatePrivateKey` returns there: this one signs with them, by `bcrypt.dll`.
 *
 * The variable AGE_OAUTH_TEST_CARD makes the key one of a smart card: `asks` for its PIN, where the caller lets it;
 * `cancelled`, `absent`, `blocked` fail as Windows does; `slow` signs only after a person has typed for a while; `old` has no
 * RSA-PSS; `other` has the key of another certificate.
 */
#include <windows.h>
#include <bcrypt.h>
#include <ncrypt.h>
#include <wincrypt.h>

#ifndef NTE_SILENT_CONTEXT
#define NTE_SILENT_CONTEXT ((SECURITY_STATUS)0x80090022)
#endif
#define NO_CARD ((SECURITY_STATUS)0x8010000c)
#define CANCELLED ((SECURITY_STATUS)0x8010006e)
#define BLOCKED ((SECURITY_STATUS)0x8010006c)

#define LONGEST_KEY 512

/* Longer than the program waits for a server: 10 seconds. */
#define TYPING 12000

/* The key of the certificate's container, as CryptoAPI exports it. */
static DWORD exported(NCRYPT_HANDLE handle, BYTE *blob, DWORD size)
{
    HCRYPTKEY key;
    BOOL done;
    if (!CryptGetUserKey(handle, AT_KEYEXCHANGE, &key) && !CryptGetUserKey(handle, AT_SIGNATURE, &key))
        return 0;
    done = CryptExportKey(key, 0, PRIVATEKEYBLOB, 0, blob, &size);
    CryptDestroyKey(key);
    return done ? size : 0;
}

static const RSAPUBKEY *public_part(const BYTE *blob)
{
    return (const RSAPUBKEY *)(blob + sizeof(BLOBHEADER));
}

/* CryptoAPI's numbers begin with their last byte. */
static BYTE *reversed(BYTE *to, const BYTE *from, DWORD length)
{
    while (length--)
        *to++ = from[length];
    return to;
}

static BCRYPT_KEY_HANDLE imported(BCRYPT_ALG_HANDLE algorithm, const BYTE *blob)
{
    static const DWORD E_LENGTH = 4;
    BYTE key[sizeof(BCRYPT_RSAKEY_BLOB) + 3 * LONGEST_KEY];
    BCRYPT_RSAKEY_BLOB *head = (BCRYPT_RSAKEY_BLOB *)key;
    const RSAPUBKEY *public = public_part(blob);
    const BYTE *numbers = (const BYTE *)(public + 1);
    DWORD length = public->bitlen / 8;
    BCRYPT_KEY_HANDLE handle = NULL;
    BYTE *end = (BYTE *)(head + 1);
    head->Magic = BCRYPT_RSAPRIVATE_MAGIC;
    head->BitLength = public->bitlen;
    head->cbPublicExp = E_LENGTH;
    head->cbModulus = length;
    head->cbPrime1 = head->cbPrime2 = length / 2;
    end = reversed(end, (const BYTE *)&public->pubexp, E_LENGTH);
    end = reversed(end, numbers, length);
    end = reversed(end, numbers + length, length / 2);
    end = reversed(end, numbers + length + length / 2, length / 2);
    BCryptImportKeyPair(algorithm, NULL, BCRYPT_RSAPRIVATE_BLOB, &handle, key, end - key, 0);
    return handle;
}

static BOOL is(const char *wanted)
{
    char state[16];
    DWORD length = GetEnvironmentVariableA("AGE_OAUTH_TEST_CARD", state, sizeof state);
    return length && length < sizeof state && !lstrcmpA(state, wanted);
}

static SECURITY_STATUS card(DWORD flags)
{
    static BOOL entered;
    if (is("asks"))
        return flags & NCRYPT_SILENT_FLAG ? NTE_SILENT_CONTEXT : ERROR_SUCCESS;
    if (is("slow")) {
        if (flags & NCRYPT_SILENT_FLAG)
            return NTE_SILENT_CONTEXT;
        if (!entered)
            Sleep(TYPING);
        entered = TRUE;
    }
    if (is("old"))
        return flags & BCRYPT_PAD_PSS ? NTE_NOT_SUPPORTED : ERROR_SUCCESS;
    if (is("absent"))
        return NO_CARD;
    if (is("blocked"))
        return BLOCKED;
    return is("cancelled") ? CANCELLED : ERROR_SUCCESS;
}

SECURITY_STATUS WINAPI NCryptSignHash(NCRYPT_KEY_HANDLE handle, VOID *padding, PBYTE hash, DWORD hash_size, PBYTE signature,
                                      DWORD size, DWORD *used, DWORD flags)
{
    BYTE blob[8 * LONGEST_KEY];
    BCRYPT_ALG_HANDLE algorithm = NULL;
    BCRYPT_KEY_HANDLE key = NULL;
    SECURITY_STATUS status;
    if (!exported(handle, blob, sizeof blob) || public_part(blob)->bitlen / 8 > LONGEST_KEY)
        return NTE_BAD_KEY;
    *used = public_part(blob)->bitlen / 8;
    if (!signature)
        return ERROR_SUCCESS;
    if ((status = card(flags)))
        return status;
    if (BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_RSA_ALGORITHM, NULL, 0))
        return NTE_FAIL;
    if (!(key = imported(algorithm, blob)))
        status = NTE_BAD_KEY;
    else if (BCryptSignHash(key, padding, hash, hash_size, signature, size, used, flags & ~NCRYPT_SILENT_FLAG))
        status = NTE_NOT_SUPPORTED;
    if (!status && is("other"))
        signature[*used - 1] ^= 1;
    SecureZeroMemory(blob, sizeof blob);
    if (key)
        BCryptDestroyKey(key);
    BCryptCloseAlgorithmProvider(algorithm, 0);
    return status;
}

SECURITY_STATUS WINAPI NCryptGetProperty(NCRYPT_HANDLE handle, LPCWSTR name, PBYTE value, DWORD size, DWORD *used, DWORD flags)
{
    static const WCHAR RSA[] = L"RSA";
    BYTE blob[8 * LONGEST_KEY];
    if (!exported(handle, blob, sizeof blob))
        return NTE_BAD_KEY;
    if (!lstrcmpW(name, NCRYPT_LENGTH_PROPERTY)) {
        *used = sizeof(DWORD);
        if (value)
            CopyMemory(value, &public_part(blob)->bitlen, sizeof(DWORD));
    } else if (!lstrcmpW(name, NCRYPT_ALGORITHM_GROUP_PROPERTY) || !lstrcmpW(name, NCRYPT_ALGORITHM_PROPERTY)) {
        *used = sizeof RSA;
        if (value)
            CopyMemory(value, RSA, sizeof RSA);
    } else {
        return NTE_NOT_SUPPORTED;
    }
    return ERROR_SUCCESS;
}

SECURITY_STATUS WINAPI NCryptSetProperty(NCRYPT_HANDLE handle, LPCWSTR name, PBYTE value, DWORD size, DWORD flags)
{
    return NTE_NOT_SUPPORTED;
}

SECURITY_STATUS WINAPI NCryptFreeObject(NCRYPT_HANDLE handle)
{
    return CryptReleaseContext(handle, 0) ? ERROR_SUCCESS : NTE_INVALID_HANDLE;
}

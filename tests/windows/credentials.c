/* Reads and changes Windows Credential Manager by its own API, independently of the program under test.
 *
 *   credentials list [FILTER]      TARGET<tab>USER<tab>PERSISTENCE<tab>BYTES of each item (local, session, enterprise)
 *   credentials read TARGET        the bytes of one item
 *   credentials write TARGET TEXT  replaces an item's bytes, as another program might
 *   credentials delete TARGET
 */
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <wincred.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s: error %lu\n", what, GetLastError());
    return 1;
}

static void print(const wchar_t *text)
{
    char bytes[4096];
    int length = WideCharToMultiByte(CP_UTF8, 0, text ? text : L"", -1, bytes, sizeof bytes, NULL, NULL);
    if (length > 1)
        fwrite(bytes, 1, length - 1, stdout);
}

static int list(const wchar_t *filter)
{
    static const char *const persistence[] = {"?", "session", "local", "enterprise"};
    CREDENTIALW **items;
    DWORD count, i;
    if (!CredEnumerateW(filter, 0, &count, &items))
        return GetLastError() == ERROR_NOT_FOUND ? 0 : failed("CredEnumerateW");
    for (i = 0; i < count; i++) {
        print(items[i]->TargetName);
        putchar('\t');
        print(items[i]->UserName);
        printf("\t%s\t%lu\n", persistence[items[i]->Persist & 3], items[i]->CredentialBlobSize);
    }
    CredFree(items);
    return 0;
}

static int read_item(const wchar_t *target)
{
    CREDENTIALW *item;
    if (!CredReadW(target, CRED_TYPE_GENERIC, 0, &item))
        return failed("CredReadW");
    fwrite(item->CredentialBlob, 1, item->CredentialBlobSize, stdout);
    CredFree(item);
    return 0;
}

static int write_item(wchar_t *target, const wchar_t *text)
{
    char bytes[2560];
    CREDENTIALW item = {0};
    int length = WideCharToMultiByte(CP_UTF8, 0, text, -1, bytes, sizeof bytes, NULL, NULL);
    item.Type = CRED_TYPE_GENERIC;
    item.TargetName = target;
    item.CredentialBlob = (LPBYTE)bytes;
    item.CredentialBlobSize = length > 0 ? length - 1 : 0;
    item.Persist = CRED_PERSIST_LOCAL_MACHINE;
    return CredWriteW(&item, 0) ? 0 : failed("CredWriteW");
}

int wmain(int count, wchar_t **words)
{
    if (count >= 2 && count <= 3 && wcscmp(words[1], L"list") == 0)
        return list(count == 3 ? words[2] : NULL);
    if (count == 3 && wcscmp(words[1], L"read") == 0)
        return read_item(words[2]);
    if (count == 4 && wcscmp(words[1], L"write") == 0)
        return write_item(words[2], words[3]);
    if (count == 3 && wcscmp(words[1], L"delete") == 0)
        return CredDeleteW(words[2], CRED_TYPE_GENERIC, 0) ? 0 : failed("CredDeleteW");
    fputs("usage: credentials list [FILTER] | read TARGET | write TARGET TEXT | delete TARGET\n", stderr);
    return 2;
}

/* A PKCS#11 library in front of SoftHSM's that behaves as other tokens do. It never says that a wrong
   PIN was entered, as some cards do not. The variable TEST_TOKEN says what else:
   keypad    the PIN is entered at the reader: what a person enters there is in a file, which the
             variable TEST_TOKEN_KEYPAD names
   removed   the token is taken out of its reader before it signs
   each      the PIN is needed before each signature
   hangs     it does not answer when it gets a PIN
   Each login is a line of the file TEST_TOKEN_LOG. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV;

/* CK_FUNCTION_LIST, by the places of its functions. */
struct functions {
    unsigned char version[2];
    void *at[68];
};
enum { GET_FUNCTION_LIST = 3, GET_TOKEN_INFO = 6, LOGIN = 18, SIGN_INIT = 42, SIGN = 43 };

/* Where CK_TOKEN_INFO has its flags, and which they are. */
enum { FLAGS = 96, AT_READER = 0x100, WRONG_PINS = 0x70000 };
enum { ARGUMENTS_BAD = 7, DEVICE_REMOVED = 0x32, NOT_LOGGED_IN = 0x101 };

static struct functions ours, *softhsm;

static int is(const char *kind)
{
    const char *named = getenv("TEST_TOKEN");
    return named && strcmp(named, kind) == 0;
}

static CK_RV get_token_info(CK_ULONG slot, unsigned char *info)
{
    CK_RV (*next)(CK_ULONG, unsigned char *) = softhsm->at[GET_TOKEN_INFO];
    CK_RV result = next(slot, info);
    CK_ULONG *flags = (CK_ULONG *)(info + FLAGS);
    *flags &= ~(CK_ULONG)WRONG_PINS;
    if (is("keypad"))
        *flags |= AT_READER;
    return result;
}

static CK_RV login(CK_ULONG session, CK_ULONG user, const char *pin, CK_ULONG length)
{
    CK_RV (*next)(CK_ULONG, CK_ULONG, const char *, CK_ULONG) = softhsm->at[LOGIN];
    const char *path = getenv("TEST_TOKEN_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (log) {
        fputs("login\n", log);
        fclose(log);
    }
    while (is("hangs"))
        pause();
    if (is("keypad")) {
        if (pin)
            return ARGUMENTS_BAD;
        char entered[64];
        FILE *keypad = fopen(getenv("TEST_TOKEN_KEYPAD"), "r");
        if (!keypad)
            return ARGUMENTS_BAD;
        length = fread(entered, 1, sizeof entered, keypad);
        fclose(keypad);
        return next(session, user, entered, length);
    }
    return next(session, user, pin, length);
}

static CK_RV sign_init(CK_ULONG session, void *mechanism, CK_ULONG key)
{
    CK_RV (*next)(CK_ULONG, void *, CK_ULONG) = softhsm->at[SIGN_INIT];
    return is("removed") ? DEVICE_REMOVED : next(session, mechanism, key);
}

static CK_RV sign(CK_ULONG session, void *data, CK_ULONG length, void *made, CK_ULONG *count)
{
    CK_RV (*next)(CK_ULONG, void *, CK_ULONG, void *, CK_ULONG *) = softhsm->at[SIGN];
    return is("each") ? NOT_LOGGED_IN : next(session, data, length, made, count);
}

CK_RV C_GetFunctionList(struct functions **list)
{
    void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    CK_RV (*get)(struct functions **) = library ? dlsym(library, "C_GetFunctionList") : NULL;
    if (!get)
        return ARGUMENTS_BAD;
    CK_RV result = get(&softhsm);
    ours = *softhsm;
    ours.at[GET_FUNCTION_LIST] = C_GetFunctionList;
    ours.at[GET_TOKEN_INFO] = get_token_info;
    ours.at[LOGIN] = login;
    ours.at[SIGN_INIT] = sign_init;
    ours.at[SIGN] = sign;
    *list = &ours;
    return result;
}

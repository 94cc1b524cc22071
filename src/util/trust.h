/* SPDX-License-Identifier: MIT */
/*
 * Whether a file that was found in a place where others can write (/tmp, /dev/shm) can be one of
 * ours. Somebody else may have put it there first, to be used by us.
 */
#pragma once

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/**
 * Why a file of which this is known cannot be trusted to be its owner's alone, or NULL: it belongs
 * to somebody who is neither us nor root nor `also` ((uid_t)-1: nobody else), others can write to
 * it, who are not all in `group` ((gid_t)-1: in none), or it has another name somewhere.
 */
static inline const char *trust_reason_against(const struct stat *found, uid_t also, gid_t group)
{
    if (found->st_uid != geteuid() && found->st_uid != 0 &&
        (also == (uid_t)-1 || found->st_uid != also))
        return "belongs to somebody else";
    if (S_ISLNK(found->st_mode))
        return "is a symbolic link";
    if (!S_ISSOCK(found->st_mode) && found->st_mode & S_IWOTH)
        return "can be written by everybody";
    if (!S_ISSOCK(found->st_mode) && found->st_mode & S_IWGRP &&
        (group == (gid_t)-1 || found->st_gid != group))
        return "can be written by its group";
    if (found->st_nlink > 1)
        return "has a second name";
    return NULL;
}

/** What the errno of an open() with O_NOFOLLOW means. */
static inline const char *trust_open_reason(int error)
{
    return error == ELOOP ? "it is a symbolic link, which is not used" : strerror(error);
}

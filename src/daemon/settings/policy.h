/* SPDX-License-Identifier: MIT */
/* Who may connect to a listener: lists of users and groups. */
#pragma once

#include "ivshmem-server.h"

#define POLICY_MAX 64 /* entries of each list */

typedef struct PolicyList {
    unsigned ids[POLICY_MAX]; /* uids or gids */
    unsigned n;
} PolicyList;

typedef struct Policy {
    PolicyList users;     /* may connect */
    PolicyList groups;    /* whoever is in one of these may connect */
    PolicyList read_only; /* users who may connect, and only read */
} Policy;

/** @return false if the list is full */
bool policy_add(PolicyList *list, unsigned id);

/** Whether anybody is named at all: if not, everybody may connect. */
bool policy_is_set(const Policy *policy);

IvshmemServerAdmission policy_judge(const Policy *policy, const IvshmemServerCredentials *who);

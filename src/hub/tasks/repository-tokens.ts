import { repositoryHost } from '../../forge/address.ts'

/** Names of secrets that may hold the token of a task's repository, in the order in which they are looked up. */
export const TOKEN_SECRETS = ['GIT_TOKEN', 'GITHUB_TOKEN'] as const

/** Those of them whose value may be sent to the server of that repository. */
export type TokenNames = (repo: string | undefined) => readonly string[]

/**
 * Whom the hub's own tokens are for, as runners have it: GIT_TOKEN for `hosts`, of which none stands for any, and GITHUB_TOKEN for
 * github.com alone. What the configuration names for a host is looked up by that.
 */
export const tokenNames =
  (hosts: readonly string[] = []): TokenNames =>
  (repo) => {
    const host = repo === undefined ? undefined : repositoryHost(repo)
    const isFor = { GIT_TOKEN: hosts.length === 0, GITHUB_TOKEN: host === 'github.com' }
    if (host !== undefined) isFor.GIT_TOKEN ||= hosts.some((each) => each.toLowerCase() === host)
    return TOKEN_SECRETS.filter((name) => isFor[name])
  }

/** Where a token that is not for this server may be bound to it. */
export const boundHint = (host: string): string =>
  `GIT_TOKEN is for the servers of ERRAND_GIT_TOKEN_HOSTS, GITHUB_TOKEN for github.com. Name another in errand.yaml: forges: [{host: "${host}", token: NAME}]`

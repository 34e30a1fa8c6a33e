import { ErrandError } from '../../contract/errors.ts'
import type { Reason } from '../../contract/status.ts'
import { GitFailure } from './git-program.ts'

/** Reasons why a repository cannot be used; `host_unreachable` may pass by itself. */
export type GitReason = Extract<
  Reason,
  | 'repo_not_found'
  | 'repo_auth'
  | 'repo_refused'
  | 'base_missing'
  | 'history_missing'
  | 'push_denied'
  | 'branch_taken'
  | 'branch_moved'
  | 'protected_branch'
  | 'push_refused'
  | 'workspace'
  | 'disk_full'
  | 'host_unreachable'
>

/** Thrown for a repository that is not acceptable or not available; `reason` says why. */
export class GitRefused extends ErrandError {
  readonly reason: GitReason

  constructor(reason: GitReason, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super('source_refused', message, options)
    this.reason = reason
  }
}

/**
 * Patterns; the first match counts. Servers and Git itself print these texts, with `LC_ALL=C`; for a file of a checkout
 * Git prints no errno.
 */
const words: readonly [RegExp, GitReason][] = [
  [
    /No space left on device|Disk quota exceeded|out of disk space|(write error|unable to write .*): File too large|^error: unable to write file [^:]*$/im,
    'disk_full',
  ],
  [
    /transport '.*' not allowed|Host key verification failed|no matching host key|credential helper .* told us to quit/i,
    'repo_refused',
  ],
  [
    /protected branch|GH006|not allowed to (force )?push code to (a )?protected|protected ref/i,
    'protected_branch',
  ],
  [
    /\(stale info\)|\(fetch first\)|\(non-fast-forward\)|cannot lock ref .* but expected|\(reference already exists\)/i,
    'branch_moved',
  ],
  [/hook declined|\[remote rejected\]|pre-receive|exceeds .* file size limit|GH0\d\d/i, 'push_refused'],
  [
    /marked as read.only|not allowed to push|Write access to repository not granted|Permission to .* denied|receive-pack.* not (enabled|permitted)|deploy key .* write/i,
    'push_denied',
  ],
  [
    /Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied \(|returned error: 401|returned error: 403|Access denied|Invalid username or/i,
    'repo_auth',
  ],
  [
    /[Rr]epository .*not (be )?found|does not appear to be a git repository|returned error: 404|not a git repository|project you were looking for could not be found/i,
    'repo_not_found',
  ],
  [
    /couldn't find remote ref|not our ref|no such remote ref|bad object|reference is not a tree|unknown revision|ambiguous argument/i,
    'base_missing',
  ],
  [
    /Could not resolve|Failed to connect|Couldn't connect|Connection (refused|timed out|reset|closed)|timed out|Operation too slow|returned error: (429|5\d\d)|early EOF|RPC failed|hung up|Empty reply|Network is unreachable|No route to host|unexpected disconnect|invalid index-pack output|SSL_ERROR|gnutls_handshake|transfer closed/i,
    'host_unreachable',
  ],
]

const hints: Readonly<Record<GitReason, string>> = {
  repo_not_found:
    'Check the address. Servers answer the same for private repositories that the token cannot see.',
  repo_auth:
    'Provide a token that can read the repository, or allow the existing token for that server: errand secrets set GIT_TOKEN --host HOST. For a token of the runner, ERRAND_GIT_TOKEN_HOSTS must list the server if it is set. Some servers also need a user name.',
  repo_refused: 'Use another repository, or ask the operator of the runner to allow this one.',
  base_missing: 'Name an existing branch, tag or full commit id.',
  history_missing: 'Remove the limit of commits (depth), or work without rebase and join.',
  push_denied:
    'Provide a token that can write to the contents of this repository, or allow the existing token for that server: errand secrets set GIT_TOKEN --host HOST',
  branch_taken: 'Choose another branch.',
  branch_moved: 'Fetch the new commits, and try again.',
  protected_branch: 'Push to another branch, and open a pull request from there.',
  push_refused: 'The server has rules for pushes: its message says which one refused this push.',
  workspace: 'Check the log of the step.',
  disk_full: "Free space on the runner's disk, or lower the limit of its workspace pool (ERRAND_POOL_SPACE).",
  host_unreachable: "Try again later; check the server, and the runner's network.",
}

/** Returns the hint for a reason; `host` is the contacted server. */
export const hintOf = (reason: GitReason, host = 'HOST'): string =>
  hints[reason].replace('--host HOST', `--host ${host}`)

/** Returns why Git failed, from its messages and those of the server. */
export function reasonOfWords(lines: readonly string[]): GitReason | undefined {
  const text = lines.join('\n')
  // A server's disk is not this machine's.
  const own = lines.filter((line) => !line.startsWith('remote: ')).join('\n')
  return words.find(([pattern, reason]) => pattern.test(reason === 'disk_full' ? own : text))?.[1]
}

/** Converts an error to one with a reason; `what` begins its message, such as "The repository cannot be fetched". */
export function refusalOf(error: unknown, what: string, otherwise: GitReason = 'workspace'): unknown {
  if (error instanceof GitRefused || !(error instanceof GitFailure)) {
    const full = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException | undefined)?.code ?? '')
    return full
      ? new GitRefused('disk_full', `${what}: no space is left on the disk.`, { hint: hints.disk_full })
      : error
  }
  const reason = reasonOfWords(error.lines) ?? otherwise
  const output = error.said === '' ? `git ended with ${error.end}` : error.said
  // Its last message only describes a consequence.
  const last = reason === 'disk_full' ? 'no space is left on the disk.' : output
  return new GitRefused(reason, `${what}: ${last}`, { hint: hints[reason], cause: error })
}

const FIRST_PAUSE_MS = 1_000
const MOST_PAUSE_MS = 60_000

/**
 * Retries, at most `retries` times, if the server could not be reached: after 1 s, then twice as long each time. Calls
 * `tell` before each pause.
 */
export async function withRetries<T>(
  work: () => Promise<T>,
  { retries, signal, report, pause }: Retries,
): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const mayPass = error instanceof GitRefused && error.reason === 'host_unreachable'
      if (!mayPass || tries >= retries) throw error
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** tries, MOST_PAUSE_MS)
      report(`${error.message} Trying again in ${pauseMs / 1000} s.`)
      await pause(pauseMs, signal)
    }
  }
}

export interface Retries {
  retries: number
  signal: AbortSignal
  report(message: string): void
  /** Waits for `ms`; rejects if the signal aborts. */
  pause(ms: number, signal: AbortSignal): Promise<void>
}

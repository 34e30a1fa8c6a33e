import { text } from 'node:stream/consumers'
import { GitFailure, git } from '../git/git-program.ts'
import { GitRefused, hintOf, refusalOf, withRetries } from '../git/git-words.ts'
import type { Remote } from '../git/remote.ts'

export interface PushAsk {
  /** Repository of ours that has the commits. */
  folder: string
  branch: string
  tip: string
  /** Commit of the branch when it was last read; empty if there was none. */
  expected: string
  /** Mode `lease`: commits of the branch may be lost, if it is still as it was when last read. */
  force: 'never' | 'lease'
  retries: number
}

export interface PushContext {
  /** Asks the repository what it has, each time again. */
  open(): Promise<Remote>
  /** Called before anything is sent there. Throws for what must not be sent. */
  check(remote: Remote): Promise<void>
  signal: AbortSignal
  /** Called before each part begins. */
  phase(name: 'look' | 'push' | 'verify', message: string): void
  report(message: string): void
  pause(ms: number, signal: AbortSignal): Promise<void>
}

export interface Pushed {
  sha: string
  branch: string
  forced: boolean
  /** Set if the branch had the commit already. */
  before: boolean
}

export const MAX_FILE_BYTES = 4 * 1024 ** 3

/**
 * Sets the branch to that commit, once: repeated at any point, it first reads the present state. Commits there that are
 * not part of the new ones are never lost, except by a requested lease. Throws `GitRefused`.
 */
export async function pushBranch(ask: PushAsk, context: PushContext): Promise<Pushed> {
  await checkBranch(ask, context)
  const { retries } = ask
  const { signal, report, pause } = context
  return await withRetries(() => pushOnce(ask, context), { retries, signal, report, pause })
}

async function pushOnce(ask: PushAsk, context: PushContext): Promise<Pushed> {
  const { branch, tip } = ask
  context.phase('look', `setting ${branch} to ${tip}`)
  const remote = await context.open()
  const now = shaOf(remote, branch)
  if (branch === remote.advertisement.defaultBranch)
    throw new GitRefused(
      'protected_branch',
      `${JSON.stringify(branch)} is the default branch of the repository.`,
      {
        hint: 'Push to another branch, and open a pull request from there.',
      },
    )
  if (now === tip) return { sha: tip, branch, forced: false, before: true }
  const forced = await checkMove(ask, context, now)
  await context.check(remote)
  context.phase('push', `${branch}: ${now === '' ? 'new' : now} → ${tip}`)
  try {
    await push(ask, context, remote, now)
  } catch (error) {
    const refusal = refusalOf(error, `${JSON.stringify(branch)} cannot be pushed`, 'push_refused')
    // An earlier push may have succeeded although its answer was lost.
    const mayBeThere =
      refusal instanceof GitRefused && ['branch_moved', 'push_refused'].includes(refusal.reason)
    if (mayBeThere && shaOf(await context.open(), branch) === tip)
      return { sha: tip, branch, forced, before: true }
    throw refusal instanceof GitRefused && refusal.reason === 'repo_auth' ? denied(refusal) : refusal
  }
  context.phase('verify', branch)
  const after = shaOf(await context.open(), branch)
  if (after === '')
    throw new GitRefused(
      'push_refused',
      `The server accepted the push but has no branch ${JSON.stringify(branch)}.`,
      {
        hint: hintOf('push_refused'),
      },
    )
  if (after !== tip) context.report(`${branch} was pushed, but somebody has since moved it to ${after}.`)
  return { sha: tip, branch, forced, before: false }
}

/** Returns the error for a push that is denied although the same token could read the repository a moment ago. */
const denied = (refusal: GitRefused) =>
  new GitRefused('push_denied', refusal.message, { hint: hintOf('push_denied'), cause: refusal })

/** Returns the commit of a branch; empty if there is no such branch. */
export const shaOf = (remote: Remote, branch: string): string =>
  remote.advertisement.refs.get(`refs/heads/${branch}`) ?? ''

async function checkBranch({ folder, branch }: PushAsk, { signal }: PushContext): Promise<void> {
  const isGood = await ourGit(['check-ref-format', `refs/heads/${branch}`], folder, signal).then(
    () => !branch.startsWith('-'),
    (error: unknown) => {
      if (error instanceof GitFailure) return false
      throw error
    },
  )
  if (!isGood)
    throw new GitRefused('push_refused', `${JSON.stringify(branch)} is not a valid branch name.`, {
      hint: 'Choose another branch_name: letters, digits, "/", "-" and ".".',
    })
}

/** Checks whether the move loses commits. Throws `branch_moved` if that was not requested. */
async function checkMove(
  { folder, branch, tip, expected, force }: PushAsk,
  { signal }: PushContext,
  now: string,
): Promise<boolean> {
  const moved = (why: string) =>
    new GitRefused('branch_moved', `The branch ${JSON.stringify(branch)} ${why}.`, {
      hint: 'Try the task again: it starts from the current state of the branch. The commits so far are saved as an artifact.',
    })
  if (now === '' && expected !== '') throw moved('is gone: somebody has deleted it')
  if (now === '') return false
  const isBelow = await ourGit(['merge-base', '--is-ancestor', now, tip], folder, signal).then(
    () => true,
    (error: unknown) => {
      if (error instanceof GitFailure) return false
      throw error
    },
  )
  if (isBelow) return false
  if (force === 'lease' && now === expected) return true
  throw moved(
    now === expected ? 'has commits that this push does not include' : `has since been moved to ${now}`,
  )
}

/** Pushes with a lease. A lease alone would let commits be lost: `checkMove` has checked that this is allowed. */
async function push(
  { folder, branch, tip }: PushAsk,
  { signal, report }: PushContext,
  remote: Remote,
  now: string,
): Promise<void> {
  const { config, env, credential } = remote.access
  const ref = `refs/heads/${branch}`
  const args = [
    ...['push', '--porcelain', '--no-verify', '--no-follow-tags', '--no-signed', '--recurse-submodules=no'],
    ...[`--force-with-lease=${ref}:${now}`, '--', remote.url, `${tip}:${ref}`],
  ]
  const options = { folder, config, env, credential, signal, maxFileBytes: MAX_FILE_BYTES }
  const remoteLines: string[] = []
  const progress = (line: string) => {
    remoteLines.push(line)
    if (line.startsWith('remote: ')) report(line)
  }
  // Git reports the result for the branch on its standard output.
  let message = ''
  const read = async (output: Parameters<typeof text>[0]) => {
    message = await text(output)
  }
  try {
    await git(args, { ...options, progress }, read)
  } catch (error) {
    if (!(error instanceof GitFailure)) throw error
    const refused = message.split('\n').filter((line) => line.startsWith('!'))
    const last = refused.length > 0 ? refused.at(-1)!.split('\t').slice(2).join(' ') : error.said
    const words = error.lines.filter((line) => line.startsWith('remote: '))
    throw new GitFailure([...error.lines, ...refused], [last, ...words].join(' ').slice(0, 600), error.end)
  }
}

const ourGit = (args: readonly string[], folder: string, signal: AbortSignal): Promise<string> =>
  git(
    args,
    { folder, signal, config: [], env: { GIT_ALLOW_PROTOCOL: 'none' }, maxFileBytes: MAX_FILE_BYTES },
    text,
  )
